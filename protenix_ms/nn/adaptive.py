# SPDX-License-Identifier: Apache-2.0
"""Adaptive layer normalisation."""

from __future__ import annotations

from mindspore import Tensor, nn

from protenix_ms.nn.linear import Linear
from protenix_ms.nn.norm import LayerNorm
from protenix_ms.ops.for_samples import for_samples
from protenix_ms.ops.gating import gated
from protenix_ms.typing import Float


class AdaptiveLayerNorm(nn.Cell):
    """AdaLN: normalise `a`, then scale and shift it by `s` (AF3 Algorithm 26).

    Inputs: a ``[b, n, c_a]``, s ``[b or 1, n, c_s]``. Outputs: ``[b, n, c_a]``.
    """

    def __init__(self, c_a: int, c_s: int) -> None:
        super().__init__()
        self.layernorm_a = LayerNorm(c_a, scale=False, offset=False)
        self.layernorm_s = LayerNorm(c_s, offset=False)
        self.linear_s = Linear(c_s, c_a, bias=True, init="zeros")
        self.linear_nobias_s = Linear(c_s, c_a, init="zeros")

    def construct(
        self, a: Float[Tensor, "b n c_a"], s: Float[Tensor, "_ n c_s"]
    ) -> Float[Tensor, "b n c_a"]:
        scale, shift = (for_samples(x, a.shape[0]) for x in self.adapting(s))
        return gated(self.layernorm_a(a), scale) + shift

    def adapting(
        self, s: Float[Tensor, "_ n c_s"]
    ) -> tuple[Float[Tensor, "_ n c_a"], Float[Tensor, "_ n c_a"]]:
        """Scale, before its sigmoid, and shift."""
        s = self.layernorm_s(s)
        return self.linear_s(s), self.linear_nobias_s(s)
