# SPDX-License-Identifier: Apache-2.0
"""Attention with pair bias, over all tokens or within windows of atoms."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from protenix_ms.model.atom_windows import AtomWindows
from protenix_ms.model.layers import AdaptiveLayerNorm, LayerNorm, Linear
from protenix_ms.model.residual import Residual
from protenix_ms.ops.evoformer_attention import evoformer_attention
from protenix_ms.ops.functional import for_samples, gated
from protenix_ms.ops.projection import PairProjection
from protenix_ms.typing import Float

GATE_BIAS = -2.0  # initial offset of adaptive output gates: sigmoid(-2) = 0.12


class Attention(nn.Cell):
    """Multi-head attention with an offset of the queries, sigmoid gate and output projection.

    Args:
        c: channels of input and output.
        n_heads: heads; each has ``c // n_heads`` channels.
        zero_output: whether the output projection starts at zero (no adaptive gate follows it).
    """

    def __init__(self, c: int, n_heads: int, zero_output: bool = True) -> None:
        super().__init__()
        assert c % n_heads == 0
        self.n_heads = n_heads
        self.linear_q = Linear(c, c, bias=True)
        self.linear_k = Linear(c, c)
        self.linear_v = Linear(c, c)
        self.linear_o = Linear(c, c, init="zeros" if zero_output else "default")
        self.linear_g = Linear(c, c, init="zeros")

    def construct(
        self, x: Float[Tensor, "b n c"], kv: Float[Tensor, "b n c"], bias: Float[Tensor, "r h q k"],
        windows: AtomWindows | None = None,
    ) -> Float[Tensor, "b n c"]:
        """Attend from `x`, the input of queries and gate, to `kv`, that of keys and values.

        Args:
            bias: pair bias shared by all samples: ``[1, h, n, n]``, or ``[w, h, 32, 128]`` with
                windows.
            windows: restrict attention to them; all tokens see each other otherwise.
        """
        q, k, v = self.linear_q(x), self.linear_k(kv), self.linear_v(kv)
        return self.linear_o(self.attend(q, k, v, self.linear_g(x), bias, windows))

    def attend(
        self, q: Float[Tensor, "b n c"], k: Float[Tensor, "b n c"], v: Float[Tensor, "b n c"],
        gate: Float[Tensor, "b n c"], bias: Float[Tensor, "r h q k"], windows: AtomWindows | None,
    ) -> Float[Tensor, "b n c"]:
        """Compute gated attention between the projections."""
        heads = (*q.shape[:-1], self.n_heads, -1)
        q, k, v, gate, shape = *(ops.reshape(x, heads) for x in (q, k, v, gate)), q.shape
        if windows is None:  # samples are rows of one batch: they share the bias
            q, k, v, gate, bias = (ops.expand_dims(x, 0) for x in (q, k, v, gate, bias))
            o = evoformer_attention(q, k, v, bias, gate=gate)[0]
        else:
            o = windows.attend(q, k, v, bias, gate)
        return ops.reshape(o, shape)


class AttentionPairBias(Residual):
    """Adds attention with pair bias (AF3 Algorithm 24; upstream `transformer.AttentionPairBias`).

    The bias is a function of the pair representation alone, so `pair_bias` computes it apart, and
    samples and sampler steps can share it.

    Args:
        c_a: channels of the updated representation.
        c_z: channels of the pair representation.
        n_heads: attention heads.
        c_s: channels of the conditioning, None for the unconditioned form of the Pairformer
            (whose pair norm has an offset, and the conditioned one none).
        cross: the atom transformer's form: keys and values get an adaptive norm of their own,
            applied to the queries that are normalised already (upstream does so; the paper
            normalises once).
    """

    def __init__(
        self, c_a: int, c_z: int, n_heads: int, c_s: int | None = None, cross: bool = False,
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
        """Compute the bias of the logits, ``[1, h, n, n]`` or ``[w, h, 32, 128]`` with windows.

        Args:
            z: pair, ``[n, n, c_z]`` or with windows ``[w, 32, 128, c_z]``.
        """
        bias = PairProjection(z, self.layernorm_z)(self.linear_nobias_z.weight)
        return ops.reshape(bias, (-1, *bias.shape[-3:]))

    def update(
        self, a: Float[Tensor, "b n c_a"], bias: Float[Tensor, "r h q k"],
        s: Float[Tensor, "_ n c_s"] | None = None, windows: AtomWindows | None = None,
    ) -> Float[Tensor, "b n c_a"]:
        """Compute the update of `a`.

        Args:
            a: leading axis is the sample.
            bias: from `pair_bias`, shared by all samples.
            s: conditioning; its leading axis may be 1.
            windows: geometry of windowed attention, None for attention over everything.
        """
        if s is None:
            a = self.layernorm_a(a)
            return self.attention(a, a, bias)
        a = self.layernorm_a(a, s)
        kv = a if self.layernorm_kv is None else self.layernorm_kv(a, s)
        a = self.attention(a, kv, bias, windows)
        return gated(a, for_samples(self.linear_a_last(s), a.shape[0]))
