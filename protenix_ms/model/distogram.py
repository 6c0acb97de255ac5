# SPDX-License-Identifier: Apache-2.0
"""Distogram head and contact probabilities."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops

from protenix_ms.geometry.bins import Bins
from protenix_ms.model.layers import Linear
from protenix_ms.ops.einsum import einsum
from protenix_ms.ops.functional import widened
from protenix_ms.runtime.rows import rowwise
from protenix_ms.typing import Array, Float

LOWEST, HIGHEST = 2.3125, 21.6875  # angstrom
CONTACT_DISTANCE = 8.0  # angstrom
_ROWS = 32  # whose probabilities are computed at once


class DistogramHead(nn.Cell):
    """Predicts distances between tokens' representative atoms (AF3 Algorithm 1 line 17).

    Args:
        c_z: pair channels.
        no_bins: distance bins.
    """

    def __init__(self, c_z: int, no_bins: int) -> None:
        super().__init__()
        self.linear = Linear(c_z, no_bins, bias=True, init="zeros")
        near = Bins(LOWEST, HIGHEST, no_bins).centres() < CONTACT_DISTANCE
        self.near = Tensor.from_numpy(near.astype(np.float32))

    def construct(
        self, z: Float[Tensor, "n n c_z"], rows: slice = slice(None),
    ) -> Float[Tensor, "r n k"]:
        """Compute the logits of some rows, a sum over both directions and so symmetric."""
        transposed = ops.transpose(z[:, rows], (1, 0, 2))
        return widened(self.linear(z[rows]) + self.linear(transposed))

    def probabilities(self, z: Float[Tensor, "n n c_z"]) -> Float[Array, "n n k"]:
        """Compute the probabilities of distances in float16; logits never exist whole."""
        parts = [ops.softmax(self(z, slice(i, i + _ROWS)), -1).asnumpy().astype(np.float16)
                 for i in range(0, len(z), _ROWS)]
        return np.concatenate(parts)

    def contact_probabilities(self, z: Float[Tensor, "n n c_z"]) -> Float[Tensor, "n n"]:
        """Compute the probability of a distance below 8 angstrom; logits never exist whole."""

        def contacts(rows: slice) -> Float[Tensor, "r n"]:
            return einsum("rnk,k->rn", ops.softmax(self(z, rows), -1), self.near)

        n, bins = len(z), len(self.near)
        return rowwise(None, contacts, range(n), cost=n * bins)
