# SPDX-License-Identifier: Apache-2.0
"""Transition layer."""

from __future__ import annotations

from mindspore import Tensor, nn

from protenix_ms.nn.linear import Linear
from protenix_ms.nn.norm import LayerNorm
from protenix_ms.ops.gating import swiglu
from protenix_ms.ops.pair_layers import whole_layers
from protenix_ms.runtime.chunk import map_parts
from protenix_ms.runtime.recompute import recomputed
from protenix_ms.typing import Float


class Transition(nn.Cell):
    """SwiGLU transition with expansion `n` (AF3 Algorithm 11). Shape in = shape out.

    The expanded form of a pair representation exists for some rows at a time, in training too if
    it is recomputed.
    """

    recompute_kind = "transition"

    def __init__(self, c: int, n: int) -> None:
        super().__init__()
        self.layernorm1 = LayerNorm(c)
        self.linear_no_bias_a = Linear(c, n * c, init="relu")
        self.linear_no_bias_b = Linear(c, n * c, init="relu")
        self.linear_no_bias = Linear(n * c, c, init="zeros")

    def construct(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        y = self.layernorm1(x)
        y = swiglu(self.linear_no_bias_b(y), self.linear_no_bias_a(y))
        return self.linear_no_bias(y)

    def added(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        """`x` plus its update."""
        kernels = whole_layers(x)
        if kernels is None:
            expanded = x.size // x.shape[-1] * self.linear_no_bias.weight.shape[1]
            return x + map_parts(lambda part: recomputed(self, part), (x,), (0,),
                                 expanded // x.shape[0])
        layers = (self.linear_no_bias_a, self.linear_no_bias_b, self.linear_no_bias)
        return kernels.transition(x, self.layernorm1, tuple(y.weight for y in layers))
