# SPDX-License-Identifier: Apache-2.0
"""Group chains that covalent bonds hold together into molecules, the unit of chain permutation."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from protenix_ms.chem.columns import connected_groups
from protenix_ms.features.annotation import AnnotatedAtoms
from protenix_ms.typing import Array, Int


def assign_molecules(atoms: AnnotatedAtoms, polymer_entities: Collection[str]) -> AnnotatedAtoms:
    """Fill `mol_id`, `entity_mol_id` and `mol_atom_index`.

    Chains joined by a bond are one molecule, but bonds between two chains of
    `polymer_entities` do not count. At inference upstream lists every entity there (ligands
    have a placeholder sequence), so each chain is its own molecule; training passes the true
    polymers. Upstream: `find_equiv_mol_and_assign_ids`.
    """
    mol_id = _joined_chains(atoms, polymer_entities)
    order = np.argsort(mol_id, kind="stable")
    sizes = np.bincount(mol_id)
    first = np.cumsum(sizes) - sizes
    place = np.empty(len(atoms), np.int64)
    place[order] = np.arange(len(atoms)) - np.repeat(first, sizes)
    names = [tuple(part.tolist()) for part in np.split(atoms.atom_name[order], first[1:])]
    kinds = _kinds(atoms, mol_id, names)
    return atoms.with_columns(mol_id=mol_id, entity_mol_id=kinds[mol_id], mol_atom_index=place)


def _joined_chains(atoms: AnnotatedAtoms, polymer_entities: Collection[str]) -> Int[Array, "a"]:
    """Number the molecule of every atom, by the first of its chain names in text order."""
    names, chain = np.unique(atoms.chain_id, return_inverse=True)
    ends = atoms.bonds[:, :2]
    polymer = np.isin(atoms.entity_id, list(polymer_entities))
    joined = ends[(chain[ends[:, 0]] != chain[ends[:, 1]]) & ~polymer[ends].all(axis=1)]
    return connected_groups(len(names), chain[joined])[chain]


def _kinds(
    atoms: AnnotatedAtoms, mol_id: Int[Array, "a"], names: list[tuple[str, ...]]
) -> Int[Array, "m"]:
    """Number the kinds of molecules: same entities and same atom names make the same kind.

    Kinds with the same entities get consecutive numbers, as upstream gives them.

    Args:
        names: atom names of every molecule.
    """
    starts = atoms.chain_starts()
    entities: list[list[str]] = [[] for _ in names]
    for molecule, entity in zip(mol_id[starts].tolist(), atoms.entity_id[starts].tolist()):
        entities[molecule].append(entity)
    by_entities: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    keys = [tuple(sorted(group)) for group in entities]
    for key, own in zip(keys, names):
        variants = by_entities.setdefault(key, [])
        if own not in variants:
            variants.append(own)
    number = {(key, own): i for i, (key, own) in enumerate(
        (key, own) for key, variants in by_entities.items() for own in variants)}
    return np.array([number[pair] for pair in zip(keys, names)], np.int64)
