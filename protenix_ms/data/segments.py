# SPDX-License-Identifier: Apache-2.0
"""Where residues and chains begin in columns of atoms, and which atoms hang together."""

from __future__ import annotations

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.typing import Array, Bool, Int, Shaped


def changes(*columns: Shaped[Array, "a"]) -> Bool[Array, "a"]:
    """True at the first row and wherever one of the columns differs from the row before."""
    new = np.zeros(len(columns[0]), bool)
    new[:1] = True
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    return new


def chain_breaks(atoms: AtomTable) -> Bool[Array, "a"]:
    """True where a chain begins: its name changes or residue numbers fall (as upstream reads)."""
    new = changes(atoms.chain_id)
    new[1:] |= atoms.res_id[1:] < atoms.res_id[:-1]
    return new


def groups(starts: Bool[Array, "a"]) -> list[slice]:
    """Rows of every run that begins where `starts` is True."""
    edges = [*np.flatnonzero(starts).tolist(), len(starts)]
    return [slice(first, stop) for first, stop in zip(edges[:-1], edges[1:])]


def chain_rows(atoms: AtomTable) -> list[slice]:
    """Rows of every chain, in order."""
    return groups(chain_breaks(atoms))


def residue_rows(atoms: AtomTable) -> list[slice]:
    """Rows of every residue, in order."""
    starts = chain_breaks(atoms)
    starts[atoms.residue_starts()] = True
    return groups(starts)


def merged_bonds(*lists: Int[Array, "_ 3"]) -> Int[Array, "p 3"]:
    """All bonds once, lower row first, sorted; the first list that has a bond gives its order."""
    bonds = np.concatenate(lists).astype(np.int64).reshape(-1, 3)
    bonds[:, :2].sort(axis=1)
    _, first = np.unique(bonds[:, :2], axis=0, return_index=True)
    return bonds[first].astype(np.int32)


def connected(size: int, pairs: Int[Array, "p 2"]) -> Int[Array, "a"]:
    """Number of the connected component of each of `size` nodes, counted by first node.

    Labels spread along edges to the lowest node, and by pointer jumping, until nothing moves.
    """
    label = np.arange(size)
    first, second = pairs[:, 0], pairs[:, 1]
    while True:
        low = np.minimum(label[first], label[second])
        previous = label.copy()
        np.minimum.at(label, label[first], low)
        np.minimum.at(label, label[second], low)
        label = label[label]
        if (label == previous).all() and (label[first] == label[second]).all():
            return np.unique(label, return_inverse=True)[1]
