# SPDX-License-Identifier: Apache-2.0
"""Binned quantities: the confidence heads predict distributions over equal bins."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from protenix_ms.typing import Array, Float


class Bins(NamedTuple):
    """`count` equal bins of [low, high]."""

    low: float
    high: float
    count: int

    def centres(self) -> Float[Array, "k"]:
        """Middle of every bin, float32."""
        width = (self.high - self.low) / self.count
        return (self.low + width * (np.arange(self.count) + 0.5)).astype(np.float32)


PLDDT = Bins(0.0, 1.0, 50)
PAE = Bins(0.0, 32.0, 64)  # angstrom
PDE = Bins(0.0, 32.0, 64)  # angstrom


def probabilities(logits: Float[Array, "*shape k"]) -> Float[Array, "*shape k"]:
    """Softmax over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shifted /= shifted.sum(axis=-1, keepdims=True)
    return shifted


def expected(logits: Float[Array, "*shape k"], bins: Bins) -> Float[Array, "*shape"]:
    """Expectation of a binned quantity, in the unit of `bins`."""
    return probabilities(logits) @ bins.centres()
