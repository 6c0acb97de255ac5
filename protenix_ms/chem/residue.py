# SPDX-License-Identifier: Apache-2.0
"""One component as a residue, and the atoms that it loses when it is bonded to another residue."""

from __future__ import annotations

import functools

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import Component, ComponentDictionary
from protenix_ms.errors import ChemistryError
from protenix_ms.typing import Array, Bool


def residue_table(component: Component, res_id: int, hetero: bool) -> AtomTable:
    """Make a residue of all heavy atoms of a component, leaving atoms included.

    Bonds are in Kekule form, `charge` is upstream's `ref_charge`, and chain and entity are "" until
    the assembly is made.

    Raises:
        ChemistryError: the component has no atoms (UNL, "unknown ligand").
    """
    n = len(component)
    if n == 0:
        raise ChemistryError(f"component {component.code} has no atoms in the dictionary",
                             fix="give the molecule as SMILES or as a file")
    return AtomTable(
        atom_name=component.atom_name,
        element=component.element,
        res_name=np.full(n, component.code),
        chain_id=np.full(n, ""),
        entity_id=np.full(n, ""),
        res_id=np.full(n, res_id, np.int64),
        charge=component.ref_charge,
        hetero=np.full(n, hetero),
        coord=np.zeros((n, 3), np.float32),
        ref_pos=component.ref_pos,
        ref_mask=component.ref_mask,
        bonds=np.column_stack([component.bonds, component.bond_order]).astype(np.int32),
    )


def leaving_groups(component: Component) -> dict[str, list[list[str]]]:
    """List the groups of leaving atoms on each staying atom, e.g. ``{"C": [["OXT"]]}``.

    Only heavy atoms count. The result is empty when a group is held by more than one staying atom,
    so that no bond can free it (upstream stores None there and fails on first use).
    """
    return _groups(component) or {}


def shares_leaving_atoms(component: Component) -> bool:
    """Tell whether leaving atoms hang on several staying atoms: marked wrongly, left alone."""
    return _groups(component) is None


def _groups(component: Component) -> dict[str, list[list[str]]] | None:
    bonds = {tuple(sorted(pair)) for pair in component.bonds.tolist()}
    groups: dict[str, list[list[str]]] = {}
    for centre in np.flatnonzero(~component.leaving).tolist():
        for pair in component.bonds.tolist():
            atom = sum(pair) - centre
            if centre not in pair or not component.leaving[atom]:
                continue
            bonds.discard((min(pair), max(pair)))
            group = _connected(bonds, atom)
            if not component.leaving[group].all():
                return None
            names = component.atom_name[group].tolist()
            groups.setdefault(str(component.atom_name[centre]), []).append(names)
    return groups


def _connected(bonds: set[tuple[int, int]], start: int) -> list[int]:
    """List all atoms that bonds join to `start`, sorted."""
    joined = {start}
    while more := {atom for pair in bonds if joined & {*pair} for atom in pair} - joined:
        joined |= more
    return sorted(joined)


def lost_atoms(
    table: AtomTable,
    bond_count: dict[int, int],
    ccd: ComponentDictionary,
    generator: np.random.Generator | None = None,
) -> Bool[Array, "a"]:
    """Mark the rows to remove: one leaving group per new bond of an atom.

    Follows upstream's `remove_leaving_atoms`.

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
