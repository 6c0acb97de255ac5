# SPDX-License-Identifier: Apache-2.0
"""Pairs of points that are near each other, without the matrix of all distances."""

from __future__ import annotations

import numpy as np

from protenix_ms.typing import Array, Float, Int


def near_pairs(
    first: Float[Array, "n 3"], second: Float[Array, "m 3"], radius: float
) -> Int[Array, "p 2"]:
    """Index pairs (i, j) with ``|first_i - second_j| <= radius``, sorted; a grid of cubes.

    Distances in the unit of `radius`; works in float64.
    """
    if not len(first) or not len(second):
        return np.zeros((0, 2), np.int64)
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    low = np.minimum(x.min(0), y.min(0))
    cells_x, cells_y = ((p - low) // radius for p in (x, y))
    size = np.maximum(cells_x.max(0), cells_y.max(0)).astype(np.int64) + 3
    stride = np.array([size[1] * size[2], size[2], 1])
    code_x = (cells_x.astype(np.int64) + 1) @ stride
    code_y = (cells_y.astype(np.int64) + 1) @ stride
    order = np.argsort(code_y, kind="stable")
    sorted_y = code_y[order]
    found = []
    for shift in np.ndindex(3, 3):  # the three cubes along the last axis are neighbours in order
        base = code_x + (np.array([*shift, 1]) - 1) @ stride
        start = np.searchsorted(sorted_y, base - 1, side="left")
        stop = np.searchsorted(sorted_y, base + 1, side="right")
        count = stop - start
        i = np.repeat(np.arange(len(x)), count)
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        j = order[np.repeat(start, count) + within]
        close = ((x[i] - y[j]) ** 2).sum(1) <= radius**2
        found.append(np.stack([i[close], j[close]], axis=1))
    pairs = np.concatenate(found)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
