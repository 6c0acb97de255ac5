# SPDX-License-Identifier: Apache-2.0
"""Smooth lDDT: how well distances to near atoms are kept, with sigmoids for the thresholds.

Three forms of one value. `smooth_lddt_loss` keeps for the backward pass only a gradient the size
of the coordinates, which it computes together with the value, some rows of atoms at a time.
`smooth_lddt_loss_dense` differentiates through all pairs, and `smooth_lddt_loss_sparse` through
pairs of near atoms; they hold every pair in memory, and serve as oracles and for comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mindspore import Tensor, nn, ops

from protenix_ms.loss.labels import AtomRoles, Labels
from protenix_ms.ops.functional import smooth_lddt
from protenix_ms.ops.native import kernels_serve
from protenix_ms.runtime.chunk import chunks, rows_per_chunk
from protenix_ms.typing import Array, Float, Int

RADIUS, NUCLEOTIDE_RADIUS = 15.0, 30.0  # angstrom, by the kind of the row atom
THRESHOLDS = (0.5, 1.0, 2.0, 4.0)  # angstrom
EPSILON = 1e-6  # added to the number of pairs
SMALLEST = 1e-12  # angstrom^2; keeps the direction between equal points finite
_PLANES = 10  # pair-sized arrays alive at once


@dataclass(frozen=True)
class Neighbours:
    """Which pairs count: known atoms within the radius of the row's atom. Not symmetric.

    Attributes:
        x: known coordinates, angstrom.
        resolved: 1 where they are known.
        reach: radius of each row's atom, angstrom; 0 if it is unknown.
    """

    x: Float[Tensor, "a 3"]
    resolved: Float[Tensor, "a"]
    reach: Float[Tensor, "a"]

    @classmethod
    def of(cls, labels: Labels, roles: AtomRoles) -> Neighbours:
        reach = np.where(roles.is_nucleotide, NUCLEOTIDE_RADIUS, RADIUS) * labels.resolved
        arrays = (labels.x, labels.resolved, reach)
        return cls(*(Tensor.from_numpy(np.ascontiguousarray(v, np.float32)) for v in arrays))

    def rows(self, part: slice) -> tuple[Float[Tensor, "r a"], Float[Tensor, "r a"]]:
        """Mask and known distances of some rows."""
        d = _lengths(_differences(self.x, part))
        near = ops.cast(d < self.reach[part][:, None], d.dtype) * self.resolved
        column = ops.arange(0, self.x.shape[0])
        other = ops.cast(column[part][:, None] != column, d.dtype)
        return near * other, d


def _differences(x: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor]:
    """``x_l - x_m`` by axis, for rows l of `part`."""
    return tuple(ops.expand_dims(x[..., part, k], -1) - ops.expand_dims(x[..., k], -2)
                 for k in range(3))


def _lengths(d: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    return ops.sqrt(ops.square(d[0]) + ops.square(d[1]) + ops.square(d[2]) + SMALLEST)


def _kept(error: Tensor) -> Tensor:
    """Mean over the thresholds of a smooth ``error < threshold``."""
    return sum(ops.sigmoid(t - error) for t in THRESHOLDS) * (1 / len(THRESHOLDS))


class _ByRows(nn.Cell):
    """Mean smooth lDDT over samples; the gradient is made with the value."""

    def __init__(self, neighbours: Neighbours) -> None:
        super().__init__()
        self.neighbours = neighbours

    def construct(
        self, x: Float[Tensor, "b a 3"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "b a 3"]]:
        """The score, and its derivative with respect to `x`."""
        n = self.neighbours
        if kernels_serve():
            score, gradient, pairs = smooth_lddt(x, n.x, n.resolved, n.reach)
            scale = 1 / ((ops.sum(pairs) + EPSILON) * x.shape[0])
            return ops.sum(score) * scale, gradient * scale
        return self._by_operators(x)

    def _by_operators(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The same by MindSpore's operators, some rows at a time."""
        b, a, _ = x.shape
        total, pairs, parts, columns = 0.0, EPSILON, [], 0.0
        for part in chunks(a, rows_per_chunk(a, _PLANES * b * a)):
            mask, true = self.neighbours.rows(part)
            pairs = pairs + ops.sum(mask)
            score, pull = _rows(x, part, mask, true)
            total = total + score
            along = [pull * d for d in _differences(x, part)]
            parts.append(ops.stack([ops.sum(d, -1) for d in along], -1))
            columns = columns + ops.stack([ops.sum(d, -2) for d in along], -1)
        gradient = (ops.concat(parts, 1) - columns) / (pairs * b)
        return total / (pairs * b), gradient

    def bprop(self, x: Tensor, out: tuple, dout: tuple) -> tuple[Tensor]:
        return (out[1] * dout[0],)


def _rows(x: Tensor, part: slice, mask: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of scores of some rows, and their derivative by distance over the distance."""
    d = _lengths(_differences(x, part))
    apart = d - true
    error = ops.abs(apart)
    score, slope = 0.0, 0.0
    for threshold in THRESHOLDS:
        kept = ops.sigmoid(threshold - error)
        score, slope = score + kept, slope - kept * (1 - kept)
    share = mask * (1 / len(THRESHOLDS))
    return ops.sum(score * share), slope * ops.sign(apart) * share / d


def smooth_lddt_loss(x: Float[Tensor, "b a 3"], neighbours: Neighbours) -> Float[Tensor, ""]:
    """AF3 Algorithm 27: one minus the mean smooth lDDT of the samples, 0 to 1.

    Args:
        x: denoised coordinates, angstrom.
        neighbours: which pairs count.
    """
    return 1 - _ByRows(neighbours)(x)[0]


def smooth_lddt_loss_dense(
    x: Float[Tensor, "b a 3"], neighbours: Neighbours
) -> Float[Tensor, ""]:
    """The same, differentiated through all pairs of atoms."""
    every = slice(0, x.shape[1])
    mask, true = neighbours.rows(every)
    error = ops.abs(_lengths(_differences(x, every)) - true)
    return 1 - ops.sum(_kept(error) * mask) / ((ops.sum(mask) + EPSILON) * x.shape[0])


def near_pairs(labels: Labels, roles: AtomRoles) -> Int[Array, "p 2"]:
    """The pairs that count, listed."""
    radius = np.where(roles.is_nucleotide, NUCLEOTIDE_RADIUS, RADIUS)
    found = []
    for i in np.flatnonzero(labels.resolved):
        d = np.linalg.norm(labels.x - labels.x[i], axis=-1)
        near = np.flatnonzero((d < radius[i]) & labels.resolved)
        found.append(np.stack([np.full(len(near), i), near], 1)[near != i])
    return np.concatenate(found) if found else np.empty((0, 2), int)


def smooth_lddt_loss_sparse(
    x: Float[Tensor, "b a 3"], labels: Labels, pairs: Int[Array, "p 2"]
) -> Float[Tensor, ""]:
    """The same, differentiated through listed pairs only."""
    i, j = pairs.T.astype(np.int32)
    true = np.linalg.norm(labels.x[i] - labels.x[j], axis=-1).astype(np.float32)
    apart = ops.gather(x, Tensor.from_numpy(i), 1) - ops.gather(x, Tensor.from_numpy(j), 1)
    d = ops.sqrt(ops.sum(ops.square(apart), -1) + SMALLEST)
    return 1 - ops.mean(_kept(ops.abs(d - Tensor.from_numpy(true))))
