# SPDX-License-Identifier: Apache-2.0
"""Distances between points, pairs of near points, and lDDT's comparison of distances."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial import cKDTree

from protenix_ms.typing import Array, Bool, Float, Int

LDDT_RADIUS, LDDT_NUCLEOTIDE_RADIUS = 15.0, 30.0  # angstrom
LDDT_THRESHOLDS = (0.5, 1.0, 2.0, 4.0)  # angstrom

Measure = Callable[[Float[Array, "n 3"], Float[Array, "m 3"]], Float[Array, "n m"]]


def point_distances(x: Float[Array, "n 3"], y: Float[Array, "m 3"]) -> Float[Array, "n m"]:
    """Measure all distances between two sets of points, in the precision of the points.

    They come from differences. `torch.cdist`, which upstream uses, computes
    ``|a|^2 + |b|^2 - 2ab`` for more than 25 points and errs by up to 0.03 angstrom.
    """
    squared: Array = np.zeros((len(x), len(y)), np.result_type(x, y))
    for a, b in zip(x.T, y.T):
        squared += np.square(a[:, None] - b)
    return np.sqrt(squared, out=squared)


def near_pairs(
    first: Float[Array, "n 3"], second: Float[Array, "m 3"], radius: float
) -> Int[Array, "p 2"]:
    """List the index pairs (i, j) with ``|first_i - second_j| <= radius``, sorted.

    The matrix of all distances is never made. Distances are float64, in the unit of `radius`.
    """
    if not len(first) or not len(second):
        return np.zeros((0, 2), np.int64)
    near = cKDTree(first).sparse_distance_matrix(cKDTree(second), radius, output_type="ndarray")
    near = near[np.lexsort((near["j"], near["i"]))]
    return np.stack([near["i"], near["j"]], axis=1)


def compare_distances(
    predicted: tuple[Float[Array, "n 3"], Float[Array, "m 3"]],
    known: tuple[Float[Array, "n 3"], Float[Array, "m 3"]],
    radius: Float[Array, "_ _"],
    measure: Measure = point_distances,
) -> tuple[Float[Array, "n m"], Bool[Array, "n m"]]:
    """Compare the distances between two sets of atoms as lDDT does (Mariani et al. 2013).

    Args:
        predicted: coordinates of both sets in the prediction, angstrom.
        known: the same in the known structure.
        radius: of the neighbourhood, by row (n, 1) or by column (1, m), angstrom.
        measure: computes the distances; a replay gives upstream's inexact ones.

    Returns:
        The share of the four thresholds below which a distance has changed, 0 to 1, and whether
        the atoms are neighbours in the known structure. An atom is its own neighbour.
    """
    true = measure(*known)
    error = np.abs(measure(*predicted) - true)
    share = sum((error < limit).astype(true.dtype) for limit in LDDT_THRESHOLDS)
    return share / len(LDDT_THRESHOLDS), true < radius
