# SPDX-License-Identifier: Apache-2.0
"""Scores of whole structures: RMSD and TM-score against a known one, clashes between chains."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.spatial import cKDTree

from protenix_ms.geometry.rigid import rigid_motion, superpose
from protenix_ms.geometry.tm_terms import tm_d0
from protenix_ms.typing import Array, Bool, Float, Int

# 1.1 whatever the configuration says: upstream hands its configured value to another argument.
CLASH_DISTANCE = 1.1  # angstrom
MAX_CLASHES = 100
MAX_CLASH_FRACTION = 0.5  # of the smaller chain's atoms
SEED_FRACTIONS = (1, 2, 4)
MAX_REFINEMENTS = 20


def rmsd(
    predicted: Float[Array, "a 3"],
    known: Float[Array, "a 3"],
    weights: Float[Array, "a"] | None = None,
) -> float:
    """Compute the root mean square deviation after the best rigid motion, angstrom."""
    squared = ((superpose(predicted, known, weights) - known) ** 2).sum(-1)
    return float(np.sqrt(np.average(squared, weights=weights)))


def tm_score(predicted: Float[Array, "n 3"], known: Float[Array, "n 3"]) -> float:
    """Compute the TM-score of matched residues (Zhang & Skolnick 2004), 0-1.

    Takes the best of superpositions that start from fragments of the chain and are refined on the
    residues that fit. As in the original program, this is a lower bound of the exact maximum.
    """
    x, y = np.asarray(predicted, np.float64), np.asarray(known, np.float64)
    n = len(x)
    d0 = max(tm_d0(n), 0.5)
    best = 0.0
    for fraction in SEED_FRACTIONS:
        length = max(min(n, 4), n // fraction)
        for start in range(0, n - length + 1, max(1, length // 2)):
            chosen = np.arange(start, start + length)
            for _ in range(MAX_REFINEMENTS):
                rotation, translation = rigid_motion(x[chosen], y[chosen])
                apart = np.linalg.norm(x @ rotation.T + translation - y, axis=-1)
                best = max(best, float((1.0 / (1.0 + (apart / d0) ** 2)).mean()))
                limit = d0 + 1.0
                while (apart < limit).sum() < min(n, 3):
                    limit += 0.5
                fitting = np.flatnonzero(apart < limit)
                if np.array_equal(fitting, chosen):
                    break
                chosen = fitting
    return best


def count_close(x: Float[Array, "a 3"], y: Float[Array, "b 3"], distance: float) -> int:
    """Count the pairs closer than `distance` angstrom."""
    return int(cKDTree(x).count_neighbors(cKDTree(y), np.nextafter(distance, 0.0)))


def has_clash(
    coordinates: Float[Array, "a 3"],
    atom_chain: Int[Array, "a"],
    atom_is_polymer: Bool[Array, "a"],
) -> bool:
    """Tell whether two polymer chains overlap (AF3 SI section 5.9.2).

    They do with over 100 close pairs, or with more pairs than half the smaller chain has atoms. A
    chain counts as polymer when its first atom is one, as upstream's `metrics.clash` has it.
    """
    chains = [np.flatnonzero(atom_chain == c) for c in np.unique(atom_chain)]
    polymers = [coordinates[rows] for rows in chains if atom_is_polymer[rows[0]]]
    for x, y in combinations(polymers, 2):
        close = count_close(x, y, CLASH_DISTANCE)
        if close > MAX_CLASHES or close / min(len(x), len(y)) > MAX_CLASH_FRACTION:
            return True
    return False
