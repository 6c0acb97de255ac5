# SPDX-License-Identifier: Apache-2.0
"""Changes that must not change the answer: other names, other orders (upstream `dataset`)."""

from __future__ import annotations

from collections import Counter

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.data.segments import residue_rows
from protenix_ms.typing import Array, Shaped


def shuffled_molecules(atoms: AtomTable, rng: np.random.Generator) -> AtomTable:
    """Molecules in random order, each with its atoms in their order."""
    rank = rng.permutation(int(atoms.extra["mol_id"].max()) + 1)
    return atoms[np.argsort(rank[atoms.extra["mol_id"]], kind="stable")]


def shuffled_copies(atoms: AtomTable, rng: np.random.Generator) -> AtomTable:
    """The copies of every entity numbered (`sym_id`) at random."""
    copy = atoms.extra["sym_id"].copy()
    for entity in np.unique(atoms.entity_id):
        rows = atoms.entity_id == entity
        used, index = np.unique(copy[rows], return_inverse=True)
        copy[rows] = rng.permutation(used)[index]
    return atoms.with_columns(sym_id=copy)


def anonymous_ligand_names(atoms: AtomTable) -> Shaped[Array, "a"]:
    """Atom names with those of ligands replaced by element and count (C1, C2, O1, ...).

    Names in the dictionary tell where an atom sits; renamed, they do not.
    """
    names = atoms.atom_name.astype("U8")
    for rows in residue_rows(atoms):
        if atoms.extra["mol_type"][rows.start] != "ligand":
            continue
        seen: Counter[str] = Counter()
        for row in range(rows.start, rows.stop):
            element = str(atoms.element[row])
            seen[element] += 1
            names[row] = f"{element}{seen[element]}"
    return names
