# SPDX-License-Identifier: Apache-2.0
"""Bonds of an atom table as mmCIF tells them: in a component, between residues, of a glycan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import gemmi
import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import Component
from protenix_ms.chem.leaving import leaving_groups
from protenix_ms.typing import Array, Bool

# `AtomTable.bonds` order -> `_chem_comp_bond.value_order`; 0 is unknown
VALUE_ORDER = {0: "?", 1: "sing", 2: "doub", 3: "trip", 4: "arom"}
_BACKBONE = {("C", "N"), ("O3'", "P")}


def _place(atoms: AtomTable, i: int) -> tuple[str, int]:
    return str(atoms.chain_id[i]), int(atoms.res_id[i])


def bond_rows(atoms: AtomTable, components: Mapping[str, Component]) -> list[tuple]:
    """Bonds inside every component: component, two atoms, order, aromatic flag, number.

    A reader takes the table as complete, so no component may be absent that has a bond.
    Copies of a component that lack atoms (leaving groups) add nothing to those that have them.

    Args:
        components: where known, they say which bonds are aromatic; their orders alternate.
    """
    bonds: dict[str, dict[tuple[str, str], int]] = {}
    for i, j, order in atoms.bonds.tolist():
        if _place(atoms, i) == _place(atoms, j):
            pair = str(atoms.atom_name[i]), str(atoms.atom_name[j])
            bonds.setdefault(str(atoms.res_name[i]), {}).setdefault(pair, order)
    rows = []
    for name in sorted(bonds):
        rings = _aromatic_pairs(components[name]) if name in components else set()
        for number, (pair, order) in enumerate(bonds[name].items(), 1):
            aromatic = "Y" if order == 4 or frozenset(pair) in rings else "N"
            rows.append((name, *pair, VALUE_ORDER[order], aromatic, number))
    return rows


def _aromatic_pairs(component: Component) -> set[frozenset[str]]:
    pairs = component.atom_name[component.bonds[component.bond_aromatic]]
    return set(map(frozenset, pairs.tolist()))


def connection_rows(
    atoms: AtomTable, standard: Bool[Array, "a"]
) -> Iterator[tuple[str, int, int, int, str]]:
    """Bonds between residues that no reader knows by itself, as wwPDB files list them.

    Everyone knows the backbone of standard residues that are neighbours in the sequence.

    Args:
        standard: atoms of standard residues of polymers.

    Yields:
        Kind ("covale", "disulf" or "metalc"), number within the kind, two atom rows, order.
    """
    symbols = set(atoms.element.tolist())
    metal = np.isin(atoms.element, [name for name in symbols if gemmi.Element(name).is_metal])
    count: Counter[str] = Counter()
    for i, j, order in sorted(sorted(bond[:2]) + bond[2:] for bond in atoms.bonds.tolist()):
        (chain_i, res_i), (chain_j, res_j) = _place(atoms, i), _place(atoms, j)
        if (chain_i, res_i) == (chain_j, res_j):
            continue
        names = (str(atoms.atom_name[i]), str(atoms.atom_name[j]))
        backbone = chain_i == chain_j and res_j == res_i + 1 and names in _BACKBONE
        if backbone and standard[i] and standard[j]:
            continue
        kind = "disulf" if names == ("SG", "SG") else "covale"
        if metal[i] or metal[j]:
            kind, order = "metalc", 0
        count[kind] += 1
        yield kind, count[kind], i, j, VALUE_ORDER[order]


def glycosidic_links(copy: AtomTable, components: Mapping[str, Component]) -> list[tuple]:
    """Bonds that make one chain of sugars an oligosaccharide, the anomeric carbon's end first.

    Each is twice residue number, component, atom and the atom that left it, then the order. The
    list is empty for a single sugar, and where the bonds do not join all residues, each a sugar.
    """
    if any(str(name) not in components or "SACCHARIDE" not in components[str(name)].type.upper()
           for name in copy.res_name[copy.residue_starts()]):
        return []
    links = []
    for *pair, order in copy.bonds.tolist():
        if copy.res_id[pair[0]] != copy.res_id[pair[1]]:
            pair.sort(key=lambda row: (copy.element[row] != "C", -copy.res_id[row]))
            ends = [field for row in pair for field in _link_end(copy, row, components)]
            links.append((*ends, VALUE_ORDER[order]))
    joined, left = {int(copy.res_id[0])}, sorted(links)
    while len(near := [link for link in left if joined & {link[0], link[4]}]):
        joined |= {number for link in near for number in (link[0], link[4])}
        left = [link for link in left if link not in near]
    return sorted(links) if joined == set(copy.res_id.tolist()) else []


def _link_end(
    copy: AtomTable, row: int, components: Mapping[str, Component]
) -> tuple[int, str, str, str]:
    """Residue, component, atom, and the atom that left: O1 of a carbon, the hydrogen of an oxygen.

    The tables hold no hydrogens; those of hydroxyl groups are called H + oxygen in all sugars.
    """
    component, atom = components[str(copy.res_name[row])], str(copy.atom_name[row])
    hydrogen = f"H{atom}" if copy.element[row] == "O" else "?"
    leaving = leaving_groups(component).get(atom, [[hydrogen]])[0][0]
    return int(copy.res_id[row]), component.code, atom, leaving
