# SPDX-License-Identifier: Apache-2.0
"""A predicted structure beside a known one: RMSD, lDDT, TM-score. Distances in angstrom."""

from __future__ import annotations

import numpy as np

from protenix_ms.geometry.superposition import rigid_motion, superpose
from protenix_ms.geometry.tm_terms import tm_d0
from protenix_ms.typing import Array, Float

LDDT_RADIUS = 15.0  # angstrom
LDDT_THRESHOLDS = (0.5, 1.0, 2.0, 4.0)  # angstrom
_SEED_FRACTIONS = (1, 2, 4)
_REFINEMENTS = 20


def rmsd(
    predicted: Float[Array, "a 3"],
    known: Float[Array, "a 3"],
    weights: Float[Array, "a"] | None = None,
) -> float:
    """Root mean square deviation after the best rigid motion."""
    apart = superpose(predicted, known, weights) - known
    return float(np.sqrt(np.average((apart**2).sum(-1), weights=weights)))


def _distances(x: Float[Array, "a 3"]) -> Float[Array, "a a"]:
    x = np.asarray(x, np.float64)
    return np.linalg.norm(x[:, None] - x[None], axis=-1)


def lddt_per_atom(
    predicted: Float[Array, "a 3"], known: Float[Array, "a 3"], radius: float = LDDT_RADIUS
) -> Float[Array, "a"]:
    """Local distance difference test per atom, 0-1 (Mariani et al. 2013).

    Share of the distances to atoms within `radius` in the known structure that are kept, averaged
    over the four thresholds; NaN for an atom without neighbours.
    """
    true = _distances(known)
    near = (true < radius) & ~np.eye(len(true), dtype=bool)
    error = np.abs(_distances(predicted) - true)
    kept = sum((error < limit).astype(np.float64) for limit in LDDT_THRESHOLDS)
    count = near.sum(1)
    with np.errstate(invalid="ignore"):
        return (kept * near).sum(1) / (len(LDDT_THRESHOLDS) * count)


def lddt(
    predicted: Float[Array, "a 3"], known: Float[Array, "a 3"], radius: float = LDDT_RADIUS
) -> float:
    """Mean over atoms of `lddt_per_atom`, 0-1."""
    return float(np.nanmean(lddt_per_atom(predicted, known, radius)))


def _tm(apart: Float[Array, "n"], d0: float) -> float:
    return float((1.0 / (1.0 + (apart / d0) ** 2)).mean())


def tm_score(predicted: Float[Array, "n 3"], known: Float[Array, "n 3"]) -> float:
    """TM-score of matched residues (Zhang & Skolnick 2004), 0-1.

    The best of superpositions grown from fragments of the chain, refined on the residues that
    fit; a lower bound of the exact maximum, as in the original program.
    """
    x, y = np.asarray(predicted, np.float64), np.asarray(known, np.float64)
    n = len(x)
    d0 = max(tm_d0(n), 0.5)
    best = 0.0
    for fraction in _SEED_FRACTIONS:
        length = max(min(n, 4), n // fraction)
        for start in range(0, n - length + 1, max(1, length // 2)):
            chosen = np.arange(start, start + length)
            for _ in range(_REFINEMENTS):
                rotation, translation = rigid_motion(x[chosen], y[chosen])
                apart = np.linalg.norm(x @ rotation.T + translation - y, axis=-1)
                best = max(best, _tm(apart, d0))
                limit = d0 + 1.0
                while (apart < limit).sum() < min(n, 3):
                    limit += 0.5
                fitting = np.flatnonzero(apart < limit)
                if np.array_equal(fitting, chosen):
                    break
                chosen = fitting
    return best
