# SPDX-License-Identifier: Apache-2.0
"""Add the atoms and residues that the experiment did not see.

Every chain comes back as its sequence and components say; `is_resolved` tells which atoms have
coordinates. Atoms that a component does not know are dropped (AF3 SI 2.5.4). Upstream:
`add_missing_atoms_and_residues`, `build_ref_chain_with_atom_array`, `find_non_ccd_leaving_atoms`.
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections import defaultdict

import numpy as np

from protenix_ms.chem.atom_table import AtomTable, concatenate
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.columns import find_names, merge_bonds
from protenix_ms.chem.residue import leaving_groups, residue_table, shares_leaving_atoms
from protenix_ms.data.mmcif import Deposit
from protenix_ms.data.polymer_bonds import bond_neighbours
from protenix_ms.typing import Array, Shaped

_KEEP_IF_ALL_RESOLVED = ("B", "BE")  # boron and beryllium take up bonds without losing atoms
Atom = tuple[int, str]  # position in the sequence, atom name
Piece = tuple[slice | None, AtomTable]  # deposited rows (None: not resolved), and all atoms


def complete(atoms: AtomTable, deposit: Deposit, ccd: ComponentDictionary) -> AtomTable:
    """Give every chain all its atoms; unresolved ones lie at the origin.

    A residue counts as resolved only if more than half of its deposited atoms are known to the
    component.

    Raises:
        ChemistryError: a sequence names a component that the dictionary lacks.
    """
    whole = _WholeResidues(atoms, ccd)
    references = {entity: whole.reference_chain(entity, codes)
                  for entity, codes in sequence_codes(deposit, atoms).items()}
    residues = atoms.residues()
    first = [rows.start for rows in residues]
    chains: list[AtomTable] = []
    new_row = np.full(len(atoms), -1, np.int64)  # of every deposited atom
    offset = 0
    for rows in atoms.chains():
        own = residues[bisect_left(first, rows.start) : bisect_left(first, rows.stop)]
        chain, entity = str(atoms.chain_id[rows.start]), str(atoms.entity_id[rows.start])
        pieces = whole.chain_pieces(own, references.get(entity))
        for source, piece in pieces:
            if source is not None:
                match = find_names(atoms.atom_name[source], piece.atom_name)
                if 2 * (match >= 0).sum() > len(match):
                    new_row[source] = np.where(match >= 0, match + offset, -1)
            offset += len(piece)
        completed = concatenate([piece for _, piece in pieces])
        chains.append(completed.with_values(chain_id=chain, entity_id=entity))
    table = concatenate(chains)
    matched = new_row >= 0
    coord, resolved = np.zeros((offset, 3), np.float32), np.zeros(offset, bool)
    coord[new_row[matched]] = atoms.coord[matched]
    resolved[new_row[matched]] = True
    ends = new_row[atoms.bonds[:, :2]]
    kept = (ends >= 0).all(axis=1)
    deposited = np.column_stack([ends[kept], atoms.bonds[kept, 2]])
    bonds = merge_bonds(table.bonds, deposited)
    table = table.with_columns(coord=coord, is_resolved=resolved, bonds=bonds)
    return table.with_columns(bonds=bond_neighbours(table, ccd))


def sequence_codes(deposit: Deposit, atoms: AtomTable) -> dict[str, Shaped[Array, "r"]]:
    """List the components of every polymer entity; of alternatives at a position the resolved one.

    Selenomethionine counts as methionine.
    """
    starts = atoms.residue_starts()
    resolved = dict(zip(zip(atoms.entity_id[starts].tolist(), atoms.res_id[starts].tolist()),
                        atoms.res_name[starts].tolist()))
    sequences = {}
    for entity in [name for name in deposit.polymers if name in deposit.sequences]:
        chosen: dict[int, str] = {}
        for number, code in zip(*(column.tolist() for column in deposit.sequences[entity])):
            if number not in chosen or code == resolved.get((entity, number)):
                chosen[number] = code
        codes = np.array([chosen[number] for number in sorted(chosen)])
        sequences[entity] = np.where(codes == "MSE", "MET", codes)
    return sequences


def letters(codes: Shaped[Array, "r"], ccd: ComponentDictionary) -> str:
    """Write components as one letter each, X for those that have none."""
    known = {code: ccd[code].one_letter if code in ccd else "" for code in set(codes.tolist())}
    return "".join(known[code] if len(known[code]) == 1 else "X" for code in codes.tolist())


def chosen_leaving_atoms(groups: list[list[str]], resolved: list[bool], number: int) -> list[str]:
    """Choose the atoms of `number` groups: those not resolved first, in dictionary order.

    Upstream draws among equals with `random.sample`; here the first ones go.
    """
    order = sorted(range(len(groups)), key=lambda i: resolved[i])
    return [name for i in order[:number] for name in groups[i]]


class _WholeResidues:
    """Makes residues and chains with all atoms but those that their bonds cost.

    Attributes:
        rows: entity and atom -> deposited rows, one per copy of the chain.
        partners: row -> bonded rows.
        leaving: code -> leaving groups by centre.
        marked_wrongly: whether the dictionary marks the leaving atoms of a code wrongly.
    """

    def __init__(self, atoms: AtomTable, ccd: ComponentDictionary) -> None:
        self.atoms, self.ccd = atoms, ccd
        atom = zip(atoms.res_id.tolist(), atoms.atom_name.tolist())
        self._keys: list[tuple[str, Atom]] = list(zip(atoms.entity_id.tolist(), atom))
        self.rows: dict[tuple[str, Atom], list[int]] = defaultdict(list)
        for row, key in enumerate(self._keys):
            self.rows[key].append(row)
        self.partners: dict[int, set[int]] = defaultdict(set)
        for first, second in atoms.bonds[:, :2].tolist():
            self.partners[first].add(second)
            self.partners[second].add(first)
        self.leaving = functools.cache(lambda code: leaving_groups(ccd[code]))
        self.marked_wrongly = functools.cache(lambda code: shares_leaving_atoms(ccd[code]))
        self._outward = self._bonds_outward()

    def _bonds_outward(self) -> dict[str, dict[Atom, int]]:
        """Count bonds to other residues by entity; of the copies of an atom the most."""
        atoms, ends = self.atoms, self.atoms.bonds[:, :2]
        crossing = atoms.chain_id[ends[:, 0]] != atoms.chain_id[ends[:, 1]]
        crossing |= atoms.res_id[ends[:, 0]] != atoms.res_id[ends[:, 1]]
        count = np.bincount(ends[crossing].ravel(), minlength=len(atoms))
        most: dict[str, dict[Atom, int]] = defaultdict(dict)
        for row in np.flatnonzero(count).tolist():
            entity, atom = self._keys[row]
            most[entity][atom] = max(most[entity].get(atom, 0), int(count[row]))
        return most

    def reference_chain(self, entity: str, codes: Shaped[Array, "r"]) -> AtomTable:
        """Build all atoms of one copy; a leaving group is missing if any copy has bonded there.

        Raises:
            ChemistryError: the dictionary lacks a component.
        """
        chain = concatenate([residue_table(self.ccd[code], i, hetero=False)
                             for i, code in enumerate(codes.tolist(), 1)])
        count = self._polymer_bond_count(entity, chain)
        for atom, number in self._outward[entity].items():
            count[atom] = max(count.get(atom, 0), number)
        lost = np.zeros(len(chain), bool)
        residues = chain.residues()
        for (position, centre), number in count.items():
            own = residues[position - 1]
            names, code = chain.atom_name[own], str(chain.res_name[own.start])
            if centre not in names or self.marked_wrongly(code):
                continue
            seen = [name for name in names.tolist() if (entity, (position, name)) in self.rows]
            rows = self.rows.get((entity, (position, centre)), [])
            lost[own] |= np.isin(names, self._lost_names(code, centre, number, rows, seen))
        return chain[~lost]

    def _polymer_bond_count(self, entity: str, chain: AtomTable) -> dict[Atom, int]:
        """Count 1 for every C and P that a polymer bond uses, unless the deposit shows it open."""
        bonds = bond_neighbours(chain.with_columns(bonds=np.zeros((0, 3), np.int32)), self.ccd)
        count: dict[Atom, int] = {}
        for pair in bonds[:, :2].tolist():
            first, second = ((int(chain.res_id[row]), str(chain.atom_name[row])) for row in pair)
            if not self._is_open(entity, first, second):
                count[first if first[1] in ("C", "P") else second] = 1
        return count

    def _is_open(self, entity: str, first: Atom, second: Atom) -> bool:
        """Tell whether some copy of the chain has both atoms without a bond between them."""
        chain = self.atoms.chain_id
        return any(
            chain[i] == chain[j] and j not in self.partners[i]
            for i in self.rows.get((entity, first), ())
            for j in self.rows.get((entity, second), ())
        )

    def _lost_names(
        self, code: str, centre: str, number: int, rows: list[int], seen: list[str]
    ) -> list[str]:
        """List the atoms that `number` bonds of a centre cost.

        A centre without leaving groups loses the terminal neighbours that the deposit lacks.

        Args:
            rows: deposited rows of the centre.
            seen: names of the resolved atoms of the residue.
        """
        groups = self.leaving(code)
        if centre in groups:
            resolved = [any(name in seen for name in group) for group in groups[centre]]
            return chosen_leaving_atoms(groups[centre], resolved, number)
        component = self.ccd[code]
        if not rows or centre not in component.atom_name:
            return []
        own = int(np.flatnonzero(component.atom_name == centre)[0])
        degree = np.bincount(component.bonds.ravel(), minlength=len(component))
        around = component.bonds[(component.bonds == own).any(axis=1)]
        around = around[around != own]
        terminal = component.atom_name[around[degree[around] == 1]]
        deposited = self.atoms.atom_name[sorted(self.partners[rows[0]])]
        return list(terminal[~np.isin(terminal, deposited)].tolist())

    def chain_pieces(self, residues: list[slice], reference: AtomTable | None) -> list[Piece]:
        """Complete the residues of a chain, those of a polymer by its reference chain."""
        if reference is None:
            return [self._numbered(rows, self._single_residue(rows)) for rows in residues]
        pieces: list[Piece] = []
        previous = 0
        for rows in residues:
            number = int(self.atoms.res_id[rows.start])
            if number - previous > 1:
                pieces.append((None, _between(reference, previous, number)))
            known = self._is_known(str(self.atoms.res_name[rows.start]))
            whole = _between(reference, number - 1, number + 1) if known else self.atoms[rows]
            pieces.append(self._numbered(rows, whole))
            previous = number
        pieces.append((None, _between(reference, previous, int(reference.res_id[-1]) + 1)))
        return [(rows, piece) for rows, piece in pieces if rows is not None or len(piece)]

    def _is_known(self, code: str) -> bool:
        """Tell whether the dictionary knows which atoms the residue has."""
        return code in self.ccd and len(self.ccd[code]) > 0 and not self.marked_wrongly(code)

    def _numbered(self, rows: slice, residue: AtomTable) -> Piece:
        number, hetero = self.atoms.res_id[rows.start], self.atoms.hetero[rows.start]
        return rows, residue.with_values(res_id=number, hetero=hetero)

    def _single_residue(self, rows: slice) -> AtomTable:
        """Complete a residue outside polymers, without the atoms that its bonds cost."""
        atoms = self.atoms
        code, number = str(atoms.res_name[rows.start]), atoms.res_id[rows.start]
        if not self._is_known(code):
            return atoms[rows]
        names = atoms.atom_name[rows].tolist()
        same = (atoms.chain_id == atoms.chain_id[rows.start]) & (atoms.res_id == number)
        lost: list[str] = []
        for centre in dict.fromkeys(names):
            partners = self.partners[rows.start + names.index(centre)]
            count = sum(atoms.res_id[other] != number for other in partners)
            groups = self.leaving(code).get(centre, [])
            whole = all(any(name in names for name in group) for group in groups)
            if centre in _KEEP_IF_ALL_RESOLVED and count < len(groups) and whole:
                continue
            if count:
                copies = np.flatnonzero(same & (atoms.atom_name == centre)).tolist()
                lost += self._lost_names(code, centre, int(count), copies, names)
        residue = residue_table(self.ccd[code], int(number), hetero=True)
        return residue[~np.isin(residue.atom_name, lost)]


def _between(reference: AtomTable, low: int, high: int) -> AtomTable:
    """Cut out the residues with low < number < high."""
    first, stop = np.searchsorted(reference.res_id, [low + 1, high])
    return reference[first:stop]
