# SPDX-License-Identifier: Apache-2.0
"""Binned quantities: the heads predict distributions over equal bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protenix_ms.typing import Array, Float, Int


@dataclass(frozen=True)
class Bins:
    """`count` equal bins of [low, high]."""

    low: float
    high: float
    count: int

    def centres(self) -> Float[Array, "k"]:
        """Compute the middle of every bin, float32."""
        width = (self.high - self.low) / self.count
        return (self.low + width * (np.arange(self.count) + 0.5)).astype(np.float32)

    def edges(self) -> Float[Array, "k"]:
        """Compute the ``count + 1`` edges, float32."""
        return linspace(self.low, self.high, self.count + 1)


PLDDT = Bins(0.0, 1.0, 50)
PAE = Bins(0.0, 32.0, 64)  # angstrom
PDE = Bins(0.0, 32.0, 64)  # angstrom
# First and last inner edge of the distogram, angstrom; its outer bins are open.
DISTOGRAM_FIRST, DISTOGRAM_LAST = 2.3125, 21.6875


def linspace(low: float, high: float, count: int) -> Float[Array, "k"]:
    """Compute equally spaced numbers in float32, each rounded as PyTorch's `linspace` rounds it.

    PyTorch goes from both ends towards the middle, with fused multiply-adds. Scores often lie
    exactly on an edge, so a difference in the last bit would move them to another bin.
    """
    step = np.float64(np.float32((high - low) / (count - 1)))
    i = np.arange(count)
    return np.where(i < count // 2, low + step * i, high - step * i[::-1]).astype(np.float32)


def find_bins(x: Float[Array, "*shape"], edges: Float[Array, "k"]) -> Int[Array, "*shape"]:
    """Find the bin of each number; those outside belong to the first and the last bin."""
    edges_below = np.searchsorted(edges, x, side="left")
    return (np.clip(edges_below, 1, len(edges) - 1) - 1).astype(np.int32)


def probabilities(logits: Float[Array, "*shape k"]) -> Float[Array, "*shape k"]:
    """Apply softmax over the last axis."""
    shifted: Array = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shifted /= shifted.sum(axis=-1, keepdims=True)
    return shifted


def expected(logits: Float[Array, "*shape k"], bins: Bins) -> Float[Array, "*shape"]:
    """Compute the expectation of a binned quantity, in the unit of `bins`."""
    mean: Array = probabilities(logits) @ bins.centres()
    return mean
