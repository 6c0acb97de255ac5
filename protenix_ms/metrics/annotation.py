# SPDX-License-Identifier: Apache-2.0
"""Scores of predicted annotations, as CAFA computes them (Radivojac 2013, Jiang 2016).

Precision is averaged over proteins with any prediction at a threshold, recall over all proteins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protenix_ms.typing import Array, Bool, Float

THRESHOLDS = np.arange(0.01, 1.0, 0.01)


@dataclass(frozen=True)
class AnnotationScores:
    """How good predicted annotations are.

    Attributes:
        fmax: largest harmonic mean of precision and recall, at the threshold `threshold`.
        smin: least semantic distance, bits; NaN where no term informs.
        aupr: area under the curve of all proteins and terms together (average precision).
        coverage: share of proteins with any prediction, at the lowest threshold.
        precision, recall: at every one of `THRESHOLDS`; NaN precision where nothing is predicted.
    """

    fmax: float
    threshold: float
    smin: float
    aupr: float
    coverage: float
    precision: Float[Array, "k"]
    recall: Float[Array, "k"]


def score_annotations(
    truth: Bool[Array, "p t"], scores: Float[Array, "p t"], bits: Float[Array, "t"],
    counted: Bool[Array, "t"],
) -> AnnotationScores:
    """Compare predictions with the truth.

    Args:
        truth, scores: per protein and term, propagated; every protein has a true term.
        bits: information accretion of the terms.
        counted: terms that count for all but `smin`, for which those with information do.
    """
    g, s = truth[:, counted], scores[:, counted]
    curve = np.array([_precision_recall(g, s >= tau) for tau in THRESHOLDS])
    precision, recall, covered = curve.T
    with np.errstate(invalid="ignore"):
        f = np.nan_to_num(2 * precision * recall / (precision + recall))
    best = int(np.argmax(f))
    informs = bits > 0
    distance = [_distance(truth[:, informs], scores[:, informs] >= tau, bits[informs])
                for tau in THRESHOLDS]
    known = [d for d in distance if d is not None]
    return AnnotationScores(
        float(f[best]), float(THRESHOLDS[best]), min(known, default=np.nan),
        average_precision(g.ravel(), s.ravel()), float(covered[0]), precision, recall)


def _precision_recall(
    truth: Bool[Array, "p t"], predicted: Bool[Array, "p t"]
) -> tuple[float, float, float]:
    """Return precision, recall, and the share of proteins with any prediction."""
    hits, count, size = ((truth & predicted).sum(1), predicted.sum(1), truth.sum(1))
    some = count > 0
    precision = float((hits[some] / count[some]).mean()) if some.any() else np.nan
    recall = float(np.divide(hits, size, out=np.zeros(len(hits)), where=size > 0).mean())
    return precision, recall, float(some.mean())


def _distance(
    truth: Bool[Array, "p t"], predicted: Bool[Array, "p t"], bits: Float[Array, "t"]
) -> float | None:
    """Return the semantic distance: remaining uncertainty and misinformation; None for nothing."""
    if not predicted.any():
        return None
    uncertainty = ((truth & ~predicted) @ bits).mean()
    misinformation = ((predicted & ~truth) @ bits).mean()
    return float(np.hypot(uncertainty, misinformation))


def average_precision(truth: Bool[Array, "n"], scores: Float[Array, "n"]) -> float:
    """Compute the area under the precision-recall curve as a sum of steps; ties count together."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    ends = np.r_[np.flatnonzero(np.diff(scores[order])), len(scores) - 1]
    if not hits[-1]:
        return np.nan
    precision, recall = hits[ends] / (ends + 1), hits[ends] / hits[-1]
    return float(np.sum(np.diff(np.r_[0.0, recall]) * precision))
