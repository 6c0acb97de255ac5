# SPDX-License-Identifier: Apache-2.0
"""Distogram head and contact probabilities."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops

from protenix_ms.geometry.bins import Bins
from protenix_ms.nn import Linear
from protenix_ms.ops.einsum import einsum
from protenix_ms.ops.low_precision import widened
from protenix_ms.runtime.chunk import map_rows
from protenix_ms.typing import Float

LOWEST, HIGHEST = 2.3125, 21.6875  # angstrom
CONTACT_DISTANCE = 8.0  # angstrom


class DistogramHead(nn.Cell):
    """Distribution of distances between tokens' representative atoms (AF3 Algorithm 1 line 17).

    Args:
        c_z: pair channels.
        no_bins: distance bins.
    """

    def __init__(self, c_z: int, no_bins: int) -> None:
        super().__init__()
        self.linear = Linear(c_z, no_bins, bias=True, init="zeros")
        near = Bins(LOWEST, HIGHEST, no_bins).centres() < CONTACT_DISTANCE
        self.near = Tensor.from_numpy(near.astype(np.float32))

    def _rows(self, z: Float[Tensor, "n n c_z"], part: slice) -> Float[Tensor, "r n k"]:
        """Logits of some rows: a sum over both directions."""
        turned = ops.transpose(z[:, part], (1, 0, 2))
        return widened(self.linear(z[part]) + self.linear(turned))

    def construct(self, z: Float[Tensor, "n n c_z"]) -> Float[Tensor, "n n k"]:
        """Logits, symmetric."""
        return self._rows(z, slice(0, z.shape[0]))

    def contact_probabilities(self, z: Float[Tensor, "n n c_z"]) -> Float[Tensor, "n n"]:
        """Probability that a distance is below 8 angstrom; logits are never held whole."""
        n, bins = z.shape[0], self.near.shape[0]

        def rows(part: slice) -> Tensor:
            return einsum("rnk,k->rn", ops.softmax(self._rows(z, part), -1), self.near)

        return map_rows(rows, n, n * bins)
