# SPDX-License-Identifier: Apache-2.0
"""Bonds of an atom table as mmCIF tells them: inside a component, or between residues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.typing import Array, Bool

# `AtomTable.bonds` order -> `_chem_comp_bond.value_order`; 0 is unknown
VALUE_ORDER = {0: "?", 1: "sing", 2: "doub", 3: "trip", 4: "arom"}
_BACKBONE = {("C", "N"), ("O3'", "P")}


def _place(atoms: AtomTable, i: int) -> tuple[str, int]:
    return str(atoms.chain_id[i]), int(atoms.res_id[i])


def bond_rows(atoms: AtomTable, components: Sequence[str]) -> list[tuple]:
    """Bonds inside the named components: component, two atoms, order, aromatic flag, number.

    Copies of a component that lack atoms (leaving groups) add nothing to those that have them.
    """
    found: dict[str, dict[tuple[str, str], int]] = {name: {} for name in components}
    for i, j, order in atoms.bonds.tolist():
        name = str(atoms.res_name[i])
        if name in found and _place(atoms, i) == _place(atoms, j):
            found[name].setdefault((str(atoms.atom_name[i]), str(atoms.atom_name[j])), order)
    rows = []
    for name, bonds in found.items():
        for number, ((first, second), order) in enumerate(bonds.items(), 1):
            aromatic = "Y" if order == 4 else "N"
            rows.append((name, first, second, VALUE_ORDER[order], aromatic, number))
    return rows


def connection_rows(
    atoms: AtomTable, polymer: Bool[Array, "a"]
) -> Iterator[tuple[str, int, int, int, str]]:
    """Bonds between residues other than a chain's own backbone, of sequence neighbours.

    Yields:
        Kind ("covale" or "disulf"), number within the kind, two atom rows, order.
    """
    count: Counter[str] = Counter()
    for i, j, order in sorted(sorted(bond[:2]) + bond[2:] for bond in atoms.bonds.tolist()):
        (chain_i, res_i), (chain_j, res_j) = _place(atoms, i), _place(atoms, j)
        if (chain_i, res_i) == (chain_j, res_j):
            continue
        names = (str(atoms.atom_name[i]), str(atoms.atom_name[j]))
        backbone = chain_i == chain_j and res_j == res_i + 1 and names in _BACKBONE
        if backbone and polymer[i] and polymer[j]:
            continue
        kind = "disulf" if names == ("SG", "SG") else "covale"
        count[kind] += 1
        yield kind, count[kind], i, j, VALUE_ORDER[order]
