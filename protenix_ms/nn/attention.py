# SPDX-License-Identifier: Apache-2.0
"""Gated multi-head attention of Algorithm 24, over all tokens or within windows."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from mindspore import Tensor, nn, ops

from protenix_ms.nn.linear import Linear
from protenix_ms.ops.evoformer_attention import evoformer_attention
from protenix_ms.typing import Float


@runtime_checkable
class Windows(Protocol):
    """Where each atom may look: 32 queries by 128 keys around them.

    Keys that are no atoms are masked by the bias, which is made once for many uses.
    """

    def attend(
        self,
        q: Float[Tensor, "b a h d"],
        k: Float[Tensor, "b a h d"],
        v: Float[Tensor, "b a h d"],
        bias: Float[Tensor, "w h q k"],
        gate: Float[Tensor, "b a h d"],
    ) -> Float[Tensor, "b a h d"]:
        """Gated attention of every atom within its window."""


class Attention(nn.Cell):
    """Multi-head attention with a bias on queries, sigmoid gate and output projection.

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

    def _heads(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n h d"]:
        return ops.reshape(x, (*x.shape[:-1], self.n_heads, -1))

    def construct(
        self,
        x: Float[Tensor, "b n c"],
        kv: Float[Tensor, "b n c"],
        bias: Float[Tensor, "r h q k"],
        windows: Windows | None = None,
    ) -> Float[Tensor, "b n c"]:
        """Attend from `x` to `kv`.

        Args:
            x: query side, also the gate's input; leading axis is the sample.
            kv: key and value side.
            bias: pair bias shared by all samples: ``[1, h, n, n]``, or ``[w, h, 32, 128]`` with
                windows.
            windows: restrict attention to them; all tokens see each other otherwise.
        """
        q, k, v = self.linear_q(x), self.linear_k(kv), self.linear_v(kv)
        return self.linear_o(self.attend(q, k, v, self.linear_g(x), bias, windows))

    def attend(
        self,
        q: Float[Tensor, "b n c"],
        k: Float[Tensor, "b n c"],
        v: Float[Tensor, "b n c"],
        gate: Float[Tensor, "b n c"],
        bias: Float[Tensor, "r h q k"],
        windows: Windows | None,
    ) -> Float[Tensor, "b n c"]:
        """Gated attention alone, of what has been projected."""
        shape = q.shape
        q, k, v, gate = map(self._heads, (q, k, v, gate))
        if windows is None:  # samples are rows of one batch: they share the bias
            q, k, v, gate, bias = (ops.expand_dims(t, 0) for t in (q, k, v, gate, bias))
            o = evoformer_attention(q, k, v, bias, gate=gate)[0]
        else:
            o = windows.attend(q, k, v, bias, gate)
        return ops.reshape(o, shape)
