# SPDX-License-Identifier: Apache-2.0
"""Attention with pair bias."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from protenix_ms.nn.adaptive import AdaptiveLayerNorm
from protenix_ms.nn.attention import Attention, Windows
from protenix_ms.nn.linear import Linear
from protenix_ms.nn.norm import LayerNorm
from protenix_ms.ops.einsum import einsum
from protenix_ms.ops.for_samples import for_samples
from protenix_ms.ops.gating import gated
from protenix_ms.ops.pair_layers import whole_layers
from protenix_ms.typing import Float

GATE_BIAS = -2.0  # initial offset of adaptive output gates: sigmoid(-2) = 0.12


class AttentionPairBias(nn.Cell):
    """AF3 Algorithm 24 (upstream `transformer.AttentionPairBias`).

    The bias is a function of the pair representation alone, so it is computed apart, by
    `pair_bias`, and can be shared over samples and sampler steps.

    Args:
        c_a: channels of what is updated.
        c_z: channels of the pair representation.
        n_heads: attention heads.
        c_s: channels of the conditioning, None for the unconditioned form of the Pairformer
            (whose pair norm has an offset, and the conditioned one none).
        cross: keys and values get an adaptive norm of their own, applied to the already
            normalised queries (trap H9); the atom transformer's form.
    """

    def __init__(
        self, c_a: int, c_z: int, n_heads: int, c_s: int | None = None, cross: bool = False
    ) -> None:
        super().__init__()
        conditioned = c_s is not None
        assert conditioned or not cross
        self.layernorm_a = AdaptiveLayerNorm(c_a, c_s) if conditioned else LayerNorm(c_a)
        self.layernorm_kv = AdaptiveLayerNorm(c_a, c_s) if cross else None
        self.attention = Attention(c_a, n_heads, zero_output=not conditioned)
        self.layernorm_z = LayerNorm(c_z, offset=not conditioned)
        self.linear_nobias_z = Linear(c_z, n_heads)
        self.linear_a_last = (
            Linear(c_s, c_a, bias=True, init="zeros", bias_init=GATE_BIAS) if conditioned else None
        )

    def pair_bias(self, z: Float[Tensor, "*r q k c_z"]) -> Float[Tensor, "_ h q k"]:
        """Bias of the logits from ``[n, n, c_z]`` or, with windows, ``[w, 32, 128, c_z]``.

        Returns:
            ``[1, h, n, n]`` or ``[w, h, 32, 128]``.
        """
        kernels = whole_layers(z) if z.ndim == 3 and self.layernorm_z.bias is not None else None
        if kernels is not None:
            bias = kernels.projection(z, self.layernorm_z, self.linear_nobias_z.weight)
            return ops.reshape(bias, (1, -1, *z.shape[:2]))
        z = self.layernorm_z(ops.reshape(z, (-1, *z.shape[-3:])))
        return einsum("hc,wqkc->whqk", self.linear_nobias_z.weight, z)

    def construct(
        self,
        a: Float[Tensor, "b n c_a"],
        bias: Float[Tensor, "r h q k"],
        s: Float[Tensor, "_ n c_s"] | None = None,
        windows: Windows | None = None,
    ) -> Float[Tensor, "b n c_a"]:
        """The update of `a`.

        Args:
            a: leading axis is the sample.
            bias: from `pair_bias`, shared by all samples.
            s: conditioning; its leading axis may be 1.
            windows: geometry of windowed attention, None for attention over everything.
        """
        a = self.layernorm_a(a) if s is None else self.layernorm_a(a, s)
        kv = a if self.layernorm_kv is None else self.layernorm_kv(a, s)
        a = self.attention(a, kv, bias, windows)
        if s is None:
            return a
        return gated(a, for_samples(self.linear_a_last(s), a.shape[0]))

    def added(
        self,
        a: Float[Tensor, "b n c_a"],
        bias: Float[Tensor, "r h q k"],
        s: Float[Tensor, "_ n c_s"],
        windows: Windows | None = None,
    ) -> Float[Tensor, "b n c_a"]:
        """`a` plus its update, of the conditioned form."""
        kernels = whole_layers(a)
        if kernels is None:
            return a + self(a, bias, s, windows)
        adapting = self.layernorm_a.adapting(s)
        if self.layernorm_kv is not None:
            adapting += self.layernorm_kv.adapting(s)
        o = self.attention.attend(*kernels.qkvg(a, adapting, self.attention), bias, windows)
        return kernels.attended(a, self.linear_a_last(s), o, self.attention.linear_o.weight)
