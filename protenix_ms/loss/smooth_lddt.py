# SPDX-License-Identifier: Apache-2.0
"""Smooth lDDT: lDDT with sigmoids in place of its thresholds, so that it has a gradient.

The gradient, the size of the coordinates, is computed together with the value. No array over all
pairs of atoms is held, neither by the C++ kernel nor by the form on MindSpore's operators, which
takes some rows of atoms at a time. `tests/oracle/smooth_lddt_forms.py` is the plain form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mindspore import Tensor, nn, ops

from protenix_ms.geometry.distances import (
    LDDT_NUCLEOTIDE_RADIUS,
    LDDT_RADIUS,
    LDDT_THRESHOLDS,
)
from protenix_ms.loss.labels import AtomRoles, Labels
from protenix_ms.ops.functional import smooth_lddt
from protenix_ms.ops.native import kernels_serve
from protenix_ms.runtime.rows import slices
from protenix_ms.typing import Float

EPSILON = 1e-6  # added to the number of pairs
SMALLEST = 1e-12  # angstrom^2; keeps the direction between equal points finite
_PLANES = 10  # pair-sized arrays alive at once


@dataclass(frozen=True)
class Neighbours:
    """The pairs that count: known atoms within the radius of the row's atom. Not symmetric.

    Attributes:
        x: known coordinates, angstrom.
        resolved: 1 where they are known.
        reach: radius of each row's atom, angstrom; 0 if it is unknown.
    """

    x: Float[Tensor, "a 3"]
    resolved: Float[Tensor, "a"]
    reach: Float[Tensor, "a"]

    @classmethod
    def from_labels(cls, labels: Labels, roles: AtomRoles) -> Neighbours:
        """Take the radius of each atom from its kind."""
        radius = np.where(roles.is_nucleotide, LDDT_NUCLEOTIDE_RADIUS, LDDT_RADIUS)
        arrays = (labels.x, labels.resolved, radius * labels.resolved)
        return cls(*(Tensor.from_numpy(np.ascontiguousarray(v, np.float32)) for v in arrays))

    def rows(self, part: slice) -> tuple[Float[Tensor, "r a"], Float[Tensor, "r a"]]:
        """Compute the mask and the known distances of some rows."""
        d = _lengths(_differences(self.x, part))
        near = ops.cast(d < self.reach[part][:, None], d.dtype) * self.resolved
        column = ops.arange(0, self.x.shape[0])
        other = ops.cast(column[part][:, None] != column, d.dtype)
        return near * other, d


def _differences(x: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor]:
    """Compute ``x_l - x_m`` by axis, for rows l of `part`."""
    return tuple(ops.expand_dims(x[..., part, k], -1) - ops.expand_dims(x[..., k], -2)
                 for k in range(3))


def _lengths(d: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    return ops.sqrt(ops.square(d[0]) + ops.square(d[1]) + ops.square(d[2]) + SMALLEST)


class _ScoreWithGradient(nn.Cell):
    """Computes the mean smooth lDDT over samples, and its derivative in the same pass."""

    def __init__(self, neighbours: Neighbours) -> None:
        super().__init__()
        self.neighbours = neighbours

    def construct(
        self, x: Float[Tensor, "b a 3"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "b a 3"]]:
        n = self.neighbours
        if not kernels_serve():
            return self._by_operators(x)
        score, gradient, pairs = smooth_lddt(x, n.x, n.resolved, n.reach)
        scale = 1 / ((ops.sum(pairs) + EPSILON) * x.shape[0])
        return ops.sum(score) * scale, gradient * scale

    def _by_operators(self, x: Tensor) -> tuple[Tensor, Tensor]:
        b, a, _ = x.shape
        total, pairs, parts, columns = 0.0, EPSILON, [], 0.0
        for part in slices(a, _PLANES * b * a):
            mask, true = self.neighbours.rows(part)
            pairs = pairs + ops.sum(mask)
            score, slope = _score_rows(_lengths(_differences(x, part)), mask, true)
            total = total + score
            along = [slope * d for d in _differences(x, part)]  # again: they are large
            parts.append(ops.stack([ops.sum(d, -1) for d in along], -1))
            columns = columns + ops.stack([ops.sum(d, -2) for d in along], -1)
        gradient = (ops.concat(parts, 1) - columns) / (pairs * b)
        return total / (pairs * b), gradient

    def bprop(self, x: Tensor, out: tuple, dout: tuple) -> tuple[Tensor]:
        return (out[1] * dout[0],)


def _score_rows(d: Tensor, mask: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the scores of some rows, and compute their derivative by distance over the distance."""
    change = d - true
    error = ops.abs(change)
    score, slope = 0.0, 0.0
    for threshold in LDDT_THRESHOLDS:
        kept = ops.sigmoid(threshold - error)
        score, slope = score + kept, slope - kept * (1 - kept)
    share = mask * (1 / len(LDDT_THRESHOLDS))
    return ops.sum(score * share), slope * ops.sign(change) * share / d


def smooth_lddt_loss(x: Float[Tensor, "b a 3"], neighbours: Neighbours) -> Float[Tensor, ""]:
    """Compute one minus the mean smooth lDDT of the samples, 0 to 1 (AF3 Algorithm 27).

    Args:
        x: denoised coordinates, angstrom.
        neighbours: the pairs that count.
    """
    return 1 - _ScoreWithGradient(neighbours)(x)[0]
