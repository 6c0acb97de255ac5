# SPDX-License-Identifier: Apache-2.0
"""Which atoms a residue loses when one of its atoms makes a bond to another residue."""

from __future__ import annotations

import functools

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import Component, ComponentDictionary
from protenix_ms.typing import Array, Bool


def leaving_groups(component: Component) -> dict[str, list[list[str]]]:
    """Central atom -> its groups of leaving atoms, e.g. ``{"C": [["OXT"]]}``, heavy atoms only.

    Empty when a group is held by more than one staying atom, so that no bond can free it
    (upstream stores None there and fails on first use).
    """
    return _groups(component) or {}


def shares_leaving_atoms(component: Component) -> bool:
    """Whether some leaving atoms hang on more than one staying atom: marked wrongly, left alone."""
    return _groups(component) is None


def _groups(component: Component) -> dict[str, list[list[str]]] | None:
    bonds = {tuple(sorted(pair)) for pair in component.bonds.tolist()}
    groups: dict[str, list[list[str]]] = {}
    for centre in np.flatnonzero(~component.leaving).tolist():
        for atom in _neighbours(component, centre):
            if not component.leaving[atom]:
                continue
            bonds.discard((min(centre, atom), max(centre, atom)))
            group = _connected(bonds, atom)
            if not component.leaving[group].all():
                return None
            groups.setdefault(str(component.atom_name[centre]), []).append(
                component.atom_name[group].tolist()
            )
    return groups


def _neighbours(component: Component, atom: int) -> list[int]:
    """Bonded atoms, in the dictionary's bond order."""
    pairs = component.bonds.tolist()
    return [j if i == atom else i for i, j in pairs if atom in (i, j)]


def _connected(bonds: set[tuple[int, int]], start: int) -> list[int]:
    """All atoms reachable from `start`, sorted."""
    found, front = {start}, [start]
    while front:
        atom = front.pop()
        for pair in bonds:
            if atom in pair:
                other = pair[0] if pair[1] == atom else pair[1]
                if other not in found:
                    found.add(other)
                    front.append(other)
    return sorted(found)


def lost_atoms(
    table: AtomTable,
    bond_count: dict[int, int],
    ccd: ComponentDictionary,
    generator: np.random.Generator | None = None,
) -> Bool[Array, "a"]:
    """Rows to remove: one leaving group per new bond of an atom (upstream `remove_leaving_atoms`).

    Args:
        bond_count: row -> number of its new bonds to other residues.
        generator: chooses when there are more groups than bonds; None takes the first ones.
    """
    lost = np.zeros(len(table), bool)
    starts = np.append(table.residue_starts(), len(table))
    groups_of = functools.cache(lambda code: leaving_groups(ccd[code]))
    for row, count in bond_count.items():
        code = str(table.res_name[row])
        groups = groups_of(code).get(str(table.atom_name[row]), []) if code in ccd else []
        if generator is not None and count < len(groups):
            groups = [groups[i] for i in generator.permutation(len(groups))]
        residue = np.searchsorted(starts, row, side="right") - 1
        rows = slice(starts[residue], starts[residue + 1])
        names = [name for group in groups[:count] for name in group]
        lost[rows] |= np.isin(table.atom_name[rows], names)
    return lost
