# SPDX-License-Identifier: Apache-2.0
"""Smooth lDDT in forms that hold every pair of atoms and leave the gradient to MindSpore."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, ops

from protenix_ms.geometry.distances import (
    LDDT_NUCLEOTIDE_RADIUS,
    LDDT_RADIUS,
    LDDT_THRESHOLDS,
    point_distances,
)
from protenix_ms.loss.labels import AtomRoles, Labels
from protenix_ms.loss.smooth_lddt import EPSILON, SMALLEST, Neighbours
from protenix_ms.typing import Float


def _kept(error: Tensor) -> Tensor:
    """Average a smooth ``error < threshold`` over the thresholds."""
    return sum(ops.sigmoid(t - error) for t in LDDT_THRESHOLDS) * (1 / len(LDDT_THRESHOLDS))


def dense_smooth_lddt_loss(
    x: Float[Tensor, "b a 3"], neighbours: Neighbours
) -> Float[Tensor, ""]:
    """Compute `smooth_lddt_loss` from all pairs of atoms."""
    mask, true = neighbours.rows(slice(0, x.shape[1]))
    apart = ops.expand_dims(x, 2) - ops.expand_dims(x, 1)
    error = ops.abs(ops.sqrt(ops.sum(ops.square(apart), -1) + SMALLEST) - true)
    return 1 - ops.sum(_kept(error) * mask) / ((ops.sum(mask) + EPSILON) * x.shape[0])


def sparse_smooth_lddt_loss(
    x: Float[Tensor, "b a 3"], labels: Labels, roles: AtomRoles
) -> Float[Tensor, ""]:
    """Compute `smooth_lddt_loss` from a list of the pairs that count."""
    radius = np.where(roles.is_nucleotide, LDDT_NUCLEOTIDE_RADIUS, LDDT_RADIUS)
    known = point_distances(labels.x, labels.x)
    near = (known < radius[:, None]) & labels.resolved[:, None] & labels.resolved
    i, j = np.nonzero(near & ~np.eye(len(near), dtype=bool))
    first, second = (ops.gather(x, Tensor.from_numpy(k.astype(np.int32)), 1) for k in (i, j))
    d = ops.sqrt(ops.sum(ops.square(first - second), -1) + SMALLEST)
    return 1 - ops.mean(_kept(ops.abs(d - Tensor.from_numpy(known[i, j]))))
