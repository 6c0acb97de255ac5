# SPDX-License-Identifier: Apache-2.0
"""Atoms and residues that the experiment did not see (upstream `add_missing_atoms_and_residues`).

Every chain comes back as its sequence and components say; `is_resolved` tells which atoms have
coordinates. Atoms that a component does not know are dropped (AF3 SI 2.5.4).
"""

from __future__ import annotations

import numpy as np

from protenix_ms.chem.atom_table import AtomTable, concatenate
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.residue import residue_table
from protenix_ms.data.mmcif import Deposit
from protenix_ms.data.neighbours import polymer_bonds
from protenix_ms.data.reference_chain import (
    Bonding,
    LeavingAtoms,
    chosen_leaving_atoms,
    reference_chains,
    unlisted_leaving_atoms,
)
from protenix_ms.data.segments import chain_rows, merged_bonds, residue_rows
from protenix_ms.typing import Array, Int

_KEEP_IF_ALL_RESOLVED = ("B", "BE")  # boron and beryllium take up bonds without losing atoms


def complete(atoms: AtomTable, deposit: Deposit, ccd: ComponentDictionary) -> AtomTable:
    """The table with all atoms of its chains; unresolved ones at the origin.

    A residue counts as resolved only if more than half of its deposited atoms are known to the
    component.

    Raises:
        ChemistryError: a sequence names a component that the dictionary lacks.
    """
    references = reference_chains(deposit, atoms, ccd)
    residues = _Residues(atoms, ccd)
    chains: list[AtomTable] = []
    old_to_new = np.full(len(atoms), -1, np.int64)
    offset = 0
    inside = residue_rows(atoms)
    first = np.array([rows.start for rows in inside])
    for rows in chain_rows(atoms):
        own = inside[np.searchsorted(first, rows.start) : np.searchsorted(first, rows.stop)]
        reference = references.get(str(atoms.entity_id[rows.start]))
        pieces = residues.chain(own, reference)
        for source, piece in pieces:
            if source is not None:
                _match(atoms, source, piece, offset, old_to_new)
            offset += len(piece)
        chains.append(_labelled(concatenate([piece for _, piece in pieces]), atoms, rows.start))
    made = concatenate(chains)
    return _with_coordinates(made, atoms, old_to_new, ccd)


class _Residues:
    """Makes whole residues of deposited ones."""

    def __init__(self, atoms: AtomTable, ccd: ComponentDictionary) -> None:
        self.atoms, self.ccd = atoms, ccd
        self.bonding = Bonding(atoms)
        self.leaving = LeavingAtoms(ccd)

    def chain(
        self, residues: list[slice], reference: AtomTable | None
    ) -> list[tuple[slice | None, AtomTable]]:
        """Deposited rows (None: not resolved) and all atoms, residue by residue."""
        if reference is None:
            return [(rows, self._with_number(self._lone(rows), rows)) for rows in residues]
        pieces: list[tuple[slice | None, AtomTable]] = []
        previous = 0
        for rows in residues:
            number = int(self.atoms.res_id[rows.start])
            if number - previous > 1:
                pieces.append((None, _between(reference, previous, number)))
            known = self._is_known(str(self.atoms.res_name[rows.start]))
            whole = _between(reference, number - 1, number + 1) if known else self.atoms[rows]
            pieces.append((rows, self._with_number(whole, rows)))
            previous = number
        pieces.append((None, _between(reference, previous, int(reference.res_id[-1]) + 1)))
        return [(rows, piece) for rows, piece in pieces if rows is not None or len(piece)]

    def _is_known(self, code: str) -> bool:
        """Whether the dictionary can say which atoms the residue has."""
        return code in self.ccd and len(self.ccd[code]) > 0 and self.leaving[code] is not None

    def _with_number(self, residue: AtomTable, rows: slice) -> AtomTable:
        size = len(residue)
        return residue.with_columns(
            res_id=np.full(size, self.atoms.res_id[rows.start]),
            hetero=np.full(size, self.atoms.hetero[rows.start]),
        )

    def _lone(self, rows: slice) -> AtomTable:
        """A residue outside polymers, without the atoms that its bonds cost."""
        atoms, bonding = self.atoms, self.bonding
        code = str(atoms.res_name[rows.start])
        if not self._is_known(code):
            return atoms[rows]
        number, groups = atoms.res_id[rows.start], self.leaving[code]
        lost: list[str] = []
        names = atoms.atom_name[rows].tolist()
        for centre in dict.fromkeys(names):
            row = rows.start + names.index(centre)
            count = sum(atoms.res_id[other] != number for other in bonding.partners[row])
            if not count:
                continue
            if centre not in groups:
                copies = self._copies(row)
                lost += unlisted_leaving_atoms(self.ccd[code], centre, bonding, copies)
                continue
            resolved = [any(name in names for name in group) for group in groups[centre]]
            if count < len(resolved) and centre in _KEEP_IF_ALL_RESOLVED and all(resolved):
                continue
            lost += chosen_leaving_atoms(groups[centre], resolved, int(count))
        residue = residue_table(self.ccd[code], int(number), hetero=True)
        return residue[~np.isin(residue.atom_name, lost)]

    def _copies(self, row: int) -> list[int]:
        """Rows of that atom name in the same residue."""
        atoms = self.atoms
        same = (atoms.chain_id == atoms.chain_id[row]) & (atoms.res_id == atoms.res_id[row])
        return np.flatnonzero(same & (atoms.atom_name == atoms.atom_name[row])).tolist()


def _between(reference: AtomTable, low: int, high: int) -> AtomTable:
    """Residues with low < number < high."""
    first, stop = np.searchsorted(reference.res_id, [low + 1, high])
    return reference[first:stop]


def _match(
    atoms: AtomTable, rows: slice, piece: AtomTable, offset: int, old_to_new: Int[Array, "a"]
) -> None:
    """Note where the deposited atoms of a residue stand among its whole ones."""
    place = {name: i for i, name in enumerate(piece.atom_name.tolist(), offset)}
    found = np.array([place.get(name, -1) for name in atoms.atom_name[rows].tolist()], np.int64)
    if 2 * (found >= 0).sum() > len(found):
        old_to_new[rows] = found


def _labelled(chain: AtomTable, atoms: AtomTable, row: int) -> AtomTable:
    size = len(chain)
    return chain.with_columns(
        chain_id=np.full(size, atoms.chain_id[row]), entity_id=np.full(size, atoms.entity_id[row])
    )


def _with_coordinates(
    made: AtomTable, atoms: AtomTable, old_to_new: Int[Array, "a"], ccd: ComponentDictionary
) -> AtomTable:
    matched = old_to_new >= 0
    coord = np.zeros((len(made), 3), np.float32)
    resolved = np.zeros(len(made), bool)
    coord[old_to_new[matched]] = atoms.coord[matched]
    resolved[old_to_new[matched]] = True
    ends = old_to_new[atoms.bonds[:, :2]]
    kept = (ends >= 0).all(axis=1)
    deposited = np.column_stack([ends[kept], atoms.bonds[kept, 2]])
    made = made.with_columns(
        coord=coord, is_resolved=resolved, bonds=merged_bonds(made.bonds, deposited)
    )
    return made.with_columns(bonds=polymer_bonds(made, ccd))
