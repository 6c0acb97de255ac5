# SPDX-License-Identifier: Apache-2.0
"""Work on columns of an atom table: runs, lookups, connected groups, lists of bonds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from protenix_ms.typing import Array, Bool, Int, Shaped


def starts_of_runs(*columns: Shaped[Array, "a"]) -> Bool[Array, "a"]:
    """Mark the first row and every row where one of the columns differs from the row before."""
    new = np.zeros(len(columns[0]), bool)
    new[:1] = True
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    return new


def runs(starts: Bool[Array, "a"]) -> list[slice]:
    """List the rows of every run, given the mask of first rows."""
    edges = [*np.flatnonzero(starts).tolist(), len(starts)]
    return [slice(first, stop) for first, stop in zip(edges[:-1], edges[1:])]


def first_rows(marked: Bool[Array, "a"], starts: Bool[Array, "a"]) -> Int[Array, "r"]:
    """Find the first marked row of every run, -1 without."""
    rows = np.flatnonzero(marked)[::-1]
    first = np.full(int(starts.sum()), -1, np.int64)
    first[np.cumsum(starts)[rows] - 1] = rows
    return first


def find_names(names: Shaped[Array, "a"], among: Shaped[Array, "b"]) -> Int[Array, "a"]:
    """Find the row of every name in another column, -1 where it is absent."""
    row = {name: i for i, name in enumerate(among.tolist())}
    return np.array([row.get(name, -1) for name in names.tolist()], np.int64)


def map_unique(
    column: Shaped[Array, "a"], function: Callable[[str], Any], dtype: str | None = None
) -> Shaped[Array, "a"]:
    """Apply `function` to every entry, but call it once per distinct entry."""
    values, inverse = np.unique(column, return_inverse=True)
    return np.array([function(str(value)) for value in values], dtype=dtype)[inverse]


def map_pairs(
    first: Shaped[Array, "a"], second: Shaped[Array, "a"], function: Callable[[str, str], int]
) -> Int[Array, "a"]:
    """Apply ``function(first, second)`` to every row, calling it once per distinct pair."""
    left, left_index = np.unique(first, return_inverse=True)
    right, right_index = np.unique(second, return_inverse=True)
    table = [[function(str(a), str(b)) for b in right] for a in left]
    return np.array(table, dtype=np.int64).reshape(len(left), len(right))[left_index, right_index]


def connected_groups(size: int, pairs: Int[Array, "p 2"]) -> Int[Array, "a"]:
    """Number the connected components of `size` nodes by their first nodes, from 0."""
    if not len(pairs):
        return np.arange(size)
    # imported here because it takes longer to load than most jobs take to featurise
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(pairs), bool), tuple(pairs.T)), (size, size))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def merge_bonds(*lists: Int[Array, "_ 3"]) -> Int[Array, "p 3"]:
    """List all bonds once, lower row first, sorted; the order comes from the first list with it."""
    bonds = np.concatenate(lists).astype(np.int64).reshape(-1, 3)
    bonds[:, :2].sort(axis=1)
    _, first = np.unique(bonds[:, :2], axis=0, return_index=True)
    return bonds[first].astype(np.int32)
