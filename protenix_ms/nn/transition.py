# SPDX-License-Identifier: Apache-2.0
"""Transition layer."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from protenix_ms.nn.linear import Linear
from protenix_ms.nn.norm import LayerNorm
from protenix_ms.typing import Float


class Transition(nn.Cell):
    """SwiGLU transition with expansion `n` (AF3 Algorithm 11). Shape in = shape out."""

    def __init__(self, c: int, n: int) -> None:
        super().__init__()
        self.layernorm1 = LayerNorm(c)
        self.linear_no_bias_a = Linear(c, n * c, init="relu")
        self.linear_no_bias_b = Linear(c, n * c, init="relu")
        self.linear_no_bias = Linear(n * c, c, init="zeros")

    def construct(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        x = self.layernorm1(x)
        return self.linear_no_bias(ops.silu(self.linear_no_bias_a(x)) * self.linear_no_bias_b(x))
