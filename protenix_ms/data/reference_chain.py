# SPDX-License-Identifier: Apache-2.0
"""Whole polymer chains as their sequence says, without the atoms that their bonds cost.

Upstream: `MMCIFParser.build_ref_chain_with_atom_array`, `find_non_ccd_leaving_atoms`.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from protenix_ms.chem.atom_table import AtomTable, concatenate
from protenix_ms.chem.ccd import Component, ComponentDictionary
from protenix_ms.chem.residue import leaving_groups, residue_table, shares_leaving_atoms
from protenix_ms.data.mmcif import Deposit
from protenix_ms.data.neighbours import polymer_bonds
from protenix_ms.typing import Array

Place = tuple[str, int, str]  # entity, position, atom name


class LeavingAtoms:
    """Leaving groups by component code, worked out once; None where they are marked wrongly."""

    def __init__(self, ccd: ComponentDictionary) -> None:
        self._ccd = ccd
        self._known: dict[str, dict[str, list[list[str]]] | None] = {}

    def __getitem__(self, code: str) -> dict[str, list[list[str]]] | None:
        if code not in self._known:
            component = self._ccd[code]
            shared = shares_leaving_atoms(component)
            self._known[code] = None if shared else leaving_groups(component)
        return self._known[code]


class Bonding:
    """Questions about the bonds of deposited atoms.

    Attributes:
        rows: (entity, position, atom name) -> rows, one per copy.
        partners: row -> bonded rows.
    """

    def __init__(self, atoms: AtomTable) -> None:
        self.atoms = atoms
        self.rows: dict[Place, list[int]] = defaultdict(list)
        keys = zip(atoms.entity_id.tolist(), atoms.res_id.tolist(), atoms.atom_name.tolist())
        for row, key in enumerate(keys):
            self.rows[key].append(row)
        self.partners: dict[int, set[int]] = defaultdict(set)
        for first, second in atoms.bonds[:, :2].tolist():
            self.partners[first].add(second)
            self.partners[second].add(first)

    def present(self, entity: str, position: int, names: list[str]) -> bool:
        """Whether any of the atoms is resolved in any copy."""
        return any((entity, position, name) in self.rows for name in names)

    def broken(self, entity: str, first: tuple[int, str], second: tuple[int, str]) -> bool:
        """Whether some copy of the chain has both atoms without a bond between them."""
        chain = self.atoms.chain_id
        return any(
            chain[i] == chain[j] and j not in self.partners[i]
            for i in self.rows.get((entity, *first), ())
            for j in self.rows.get((entity, *second), ())
        )

    def outward(self) -> dict[Place, int]:
        """Largest number of bonds to other residues, over the copies of an atom."""
        atoms, ends = self.atoms, self.atoms.bonds[:, :2]
        crossing = atoms.chain_id[ends[:, 0]] != atoms.chain_id[ends[:, 1]]
        crossing |= atoms.res_id[ends[:, 0]] != atoms.res_id[ends[:, 1]]
        count = np.bincount(ends[crossing].ravel(), minlength=len(atoms))
        most: dict[Place, int] = {}
        for row in np.flatnonzero(count).tolist():
            key = (str(atoms.entity_id[row]), int(atoms.res_id[row]), str(atoms.atom_name[row]))
            most[key] = max(most.get(key, 0), int(count[row]))
        return most


def sequence_codes(deposit: Deposit, atoms: AtomTable) -> dict[str, Array]:
    """Component codes of every polymer entity; of alternatives at a position the resolved one.

    Selenomethionine counts as methionine.
    """
    starts = atoms.residue_starts()
    resolved = dict(
        zip(
            zip(atoms.entity_id[starts].tolist(), atoms.res_id[starts].tolist()),
            atoms.res_name[starts].tolist(),
        )
    )
    sequences = {}
    for entity in deposit.polymers:
        if entity not in deposit.sequences:
            continue
        chosen: dict[int, str] = {}
        for number, code in zip(*(column.tolist() for column in deposit.sequences[entity])):
            if number not in chosen or code == resolved.get((entity, number)):
                chosen[number] = code
        codes = np.array([chosen[number] for number in sorted(chosen)])
        sequences[entity] = np.where(codes == "MSE", "MET", codes)
    return sequences


def reference_chains(
    deposit: Deposit, atoms: AtomTable, ccd: ComponentDictionary
) -> dict[str, AtomTable]:
    """Entity -> all atoms of one copy; a leaving group is missing if any copy has bonded there.

    Raises:
        ChemistryError: the sequence names a component that the dictionary lacks.
    """
    bonding, leaving = Bonding(atoms), LeavingAtoms(ccd)
    outward = bonding.outward()
    chains = {}
    for entity, codes in sequence_codes(deposit, atoms).items():
        chain = _whole_chain(tuple(codes.tolist()), ccd)
        count = _polymer_bond_count(entity, chain, bonding, ccd)
        for place, number in outward.items():
            if place[0] == entity:
                count[place] = max(count.get(place, 0), number)
        chains[entity] = chain[~_lost(chain, count, bonding, leaving, ccd)]
    return chains


def _whole_chain(codes: tuple[str, ...], ccd: ComponentDictionary) -> AtomTable:
    residues = [residue_table(ccd[code], i, hetero=False) for i, code in enumerate(codes, 1)]
    return concatenate(residues)


def _polymer_bond_count(
    entity: str, chain: AtomTable, bonding: Bonding, ccd: ComponentDictionary
) -> dict[Place, int]:
    """One for every C and P that a polymer bond uses, but where the deposit shows it open."""
    bonds = polymer_bonds(chain.with_columns(bonds=np.zeros((0, 3), np.int32)), ccd)
    count: dict[Place, int] = {}
    for pair in bonds[:, :2].tolist():
        first, second = ((int(chain.res_id[row]), str(chain.atom_name[row])) for row in pair)
        if not bonding.broken(entity, first, second):
            count[(entity, *(first if first[1] in ("C", "P") else second))] = 1
    return count


def _lost(
    chain: AtomTable,
    count: dict[Place, int],
    bonding: Bonding,
    leaving: LeavingAtoms,
    ccd: ComponentDictionary,
) -> Array:
    """Rows of leaving atoms: one group per bond of their centre, unresolved groups first."""
    lost = np.zeros(len(chain), bool)
    starts = np.append(chain.residue_starts(), len(chain))
    for place, number in count.items():
        entity, position, centre = place
        rows = slice(*starts[position - 1 : position + 1])
        names = chain.atom_name[rows]
        code = str(chain.res_name[rows.start])
        groups = leaving[code]
        if centre not in names or groups is None:
            continue
        if centre in groups:
            resolved = [bonding.present(entity, position, group) for group in groups[centre]]
            gone = chosen_leaving_atoms(groups[centre], resolved, number)
        else:
            gone = unlisted_leaving_atoms(ccd[code], centre, bonding, bonding.rows.get(place, []))
        lost[rows] |= np.isin(names, gone)
    return lost


def chosen_leaving_atoms(groups: list[list[str]], resolved: list[bool], number: int) -> list[str]:
    """Atoms of `number` groups: those not resolved first, in dictionary order.

    Upstream draws among equals with `random.sample`; here the first ones go.
    """
    order = sorted(range(len(groups)), key=lambda i: resolved[i])
    return [name for i in order[:number] for name in groups[i]]


def unlisted_leaving_atoms(
    component: Component, centre: str, bonding: Bonding, copies: list[int]
) -> list[str]:
    """Terminal neighbours of a bonded atom without leaving group that the deposit lacks."""
    if not copies or centre not in component.atom_name:
        return []
    own = int(np.flatnonzero(component.atom_name == centre)[0])
    degree = np.bincount(component.bonds.ravel(), minlength=len(component))
    around = component.bonds[(component.bonds == own).any(axis=1)]
    around = around[around != own]
    names = bonding.atoms.atom_name[sorted(bonding.partners[copies[0]])]
    terminal = component.atom_name[around[degree[around] == 1]]
    return terminal[~np.isin(terminal, names)].tolist()
