# SPDX-License-Identifier: Apache-2.0
"""Molecules: chains held together by covalent bonds, the unit of chain permutation."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.features.annotation import chain_starts
from protenix_ms.typing import Array, Int


def assign_molecules(atoms: AtomTable, polymer_entities: Collection[str]) -> AtomTable:
    """The table with `mol_id`, `entity_mol_id` and `mol_atom_index` columns.

    Chains joined by a bond are one molecule, but bonds between two chains of
    `polymer_entities` do not count. At inference upstream lists every entity there (ligands
    have a placeholder sequence), so each chain is its own molecule; training passes the true
    polymers. Upstream: `find_equiv_mol_and_assign_ids`.
    """
    mol_id = _connected_chains(atoms, polymer_entities)
    return atoms.with_columns(
        mol_id=mol_id,
        entity_mol_id=_equivalent_molecules(atoms, mol_id)[mol_id],
        mol_atom_index=_count_within(mol_id),
    )


def _connected_chains(atoms: AtomTable, polymer_entities: Collection[str]) -> Int[Array, "a"]:
    """Molecule of every atom; numbered by the first of their chain names in text order."""
    names, chain = np.unique(atoms.chain_id, return_inverse=True)
    root = np.arange(len(names))
    ends = atoms.bonds[:, :2]
    polymer = np.isin(atoms.entity_id, list(polymer_entities))
    between = chain[ends[:, 0]] != chain[ends[:, 1]]
    joined = ends[between & ~polymer[ends].all(axis=1)]
    for first, second in np.unique(chain[joined], axis=0):
        low, high = sorted((root[first], root[second]))
        root[root == high] = low
    return np.unique(root, return_inverse=True)[1][chain]


def _equivalent_molecules(atoms: AtomTable, mol_id: Int[Array, "a"]) -> Int[Array, "m"]:
    """Kind of every molecule: same entities and same atom names make the same kind."""
    starts = chain_starts(atoms)
    members: dict[tuple[str, ...], list[int]] = {}
    for molecule in range(int(mol_id.max(initial=-1)) + 1):
        entities = sorted(atoms.entity_id[starts[mol_id[starts] == molecule]].tolist())
        members.setdefault(tuple(entities), []).append(molecule)
    order = np.argsort(mol_id, kind="stable")
    atom_names = np.split(atoms.atom_name[order], np.cumsum(np.bincount(mol_id))[:-1])
    kinds = np.zeros(len(atom_names), np.int64)
    number = 0
    for molecules in members.values():
        for place, molecule in enumerate(molecules):
            twins = (m for m in molecules[:place] if _same(atom_names[m], atom_names[molecule]))
            twin = next(twins, None)
            number += place > 0 and twin is None
            kinds[molecule] = number if twin is None else kinds[twin]
        number += 1
    return kinds


def _same(first: Array, second: Array) -> bool:
    return len(first) == len(second) and bool((first == second).all())


def _count_within(group: Int[Array, "a"]) -> Int[Array, "a"]:
    """Running number of every atom inside its group: [1 1 2 1] -> [0 1 0 2]."""
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    count = np.empty(len(group), np.int64)
    count[order] = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return count
