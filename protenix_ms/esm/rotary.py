# SPDX-License-Identifier: Apache-2.0
"""Rotary position embedding with frequencies that are weights of the model."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn

from protenix_ms.config.encoder import plain_frequencies
from protenix_ms.ops.functional import rotate, widened
from protenix_ms.typing import Array, Float, Int


class RotaryEmbedding(nn.Cell):
    """Turns pairs of channels of each head by an angle that grows with the position.

    Args:
        width: of a head. Channel i is paired with channel i + width/2.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inv_freq = Parameter(Tensor(plain_frequencies(width)), requires_grad=False)

    def tables(
        self, positions: Int[Array, "t"]
    ) -> tuple[Float[Tensor, "t _"], Float[Tensor, "t _"]]:
        """Compute cosine and sine of ``position * frequency``, in float32 as fair-esm does."""
        angles = np.outer(positions.astype(np.float32), self.inv_freq.asnumpy())
        return Tensor(np.cos(angles)), Tensor(np.sin(angles))

    def construct(
        self, x: Float[Tensor, "t h d"], cos: Float[Tensor, "t _"], sin: Float[Tensor, "t _"],
    ) -> Float[Tensor, "t h d"]:
        """Turn `x`, in fp32."""
        return rotate(widened(x), cos, sin)
