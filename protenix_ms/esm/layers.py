# SPDX-License-Identifier: Apache-2.0
"""Layers of ESM-2: attention with rotary positions, a transition, and the head for tokens.

The frequencies of the rotary embedding are weights of the model.
"""

from __future__ import annotations

from collections.abc import Callable

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from protenix_ms.config.encoder import EXPANSION, plain_frequencies
from protenix_ms.constants.restypes import TOKENS
from protenix_ms.esm.tokens import Packing
from protenix_ms.model.layers import LayerNorm, Linear, empty_parameter
from protenix_ms.ops.evoformer_attention import evoformer_attention
from protenix_ms.ops.functional import linear_gelu, rotate, widened
from protenix_ms.runtime.gradient import recording
from protenix_ms.runtime.policy import policy
from protenix_ms.runtime.rows import rowwise
from protenix_ms.typing import Array, Float, Int

Watch = Callable[[Tensor, Tensor], None]
"""Takes the turned queries and keys of a layer, ``[t, h, d]``."""


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


class SelfAttention(nn.Cell):
    """Lets every token attend to the tokens of its own sequence.

    Args:
        c: width.
        heads: heads; each takes c / heads neighbouring channels.
    """

    def __init__(self, c: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (
            Linear(c, c, bias=True) for _ in range(4))
        self.rot_emb = RotaryEmbedding(c // heads)

    def construct(
        self, x: Float[Tensor, "t c"], packing: Packing, watch: Watch | None = None,
    ) -> Float[Tensor, "t c"]:
        shape = (x.shape[0], self.heads, -1)
        q, k, v = (ops.reshape(project(x), shape)
                   for project in (self.q_proj, self.k_proj, self.v_proj))
        tables = self.rot_emb.tables(packing.positions)
        q, k = self.rot_emb(q, *tables), self.rot_emb(k, *tables)
        if watch is not None:
            watch(q, k)
        return self.out_proj(ops.reshape(attend(q, k, v, packing), x.shape))


def attend(
    q: Float[Tensor, "t h d"], k: Float[Tensor, "t h d"], v: Float[Tensor, "t h d"],
    packing: Packing,
) -> Float[Tensor, "t h d"]:
    """Attend within each sequence of a packing; no map of weights is held.

    Sequences of one length go through the operator together.
    """
    low = policy().dtype == "bf16" and policy().device != "CPU"
    dtype = mindspore.bfloat16 if low else mindspore.float32
    q, k, v = (x.astype(dtype) for x in (q, k, v))
    lengths = packing.lengths
    if len(set(lengths)) == 1:
        rows = (len(lengths), 1, lengths[0], *q.shape[1:])
        o = evoformer_attention(*(ops.reshape(x, rows) for x in (q, k, v)))
        return ops.reshape(o, q.shape)
    if recording():  # the gradient of a slice would be as large as the whole
        parts = zip(*(ops.split(x, list(lengths), 0) for x in (q, k, v)))
    else:
        parts = ((q[part], k[part], v[part]) for part in packing.parts)
    return ops.concat([
        evoformer_attention(*(ops.reshape(x, (1, 1, *x.shape)) for x in part))[0, 0]
        for part in parts])


class EncoderLayer(nn.Cell):
    """Updates the residual stream by attention, then by a transition, both of normed inputs."""

    def __init__(self, c: int, heads: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(c, heads)
        self.self_attn_layer_norm = LayerNorm(c)
        self.fc1 = Linear(c, EXPANSION * c, bias=True)
        self.fc2 = Linear(EXPANSION * c, c, bias=True)
        self.final_layer_norm = LayerNorm(c)

    def construct(
        self, x: Float[Tensor, "t c"], packing: Packing, watch: Watch | None = None,
    ) -> Float[Tensor, "t c"]:
        x = x + widened(self.self_attn(self.self_attn_layer_norm(x), packing, watch))
        # some tokens at a time, since the expanded channels weigh as much as all of attention
        return x + rowwise(self, self.transition, x, cost=self.fc1.weight.shape[0])

    def transition(self, x: Float[Tensor, "t c"]) -> Float[Tensor, "t c"]:
        """Compute the update of the transition, with an exact gelu."""
        return widened(self.fc2(expand(self.fc1, self.final_layer_norm(x))))


def expand(linear: Linear, x: Float[Tensor, "t c"]) -> Float[Tensor, "t h"]:
    """Apply a projection, then the exact gelu."""
    if linear.bf16:
        return ops.gelu(widened(linear(x)), approximate="none")
    return linear_gelu(x, linear.weight, linear.bias)


class Embedding(nn.Cell):
    """Holds a vector for each token."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.weight = empty_parameter((len(TOKENS), c))


class TokenHead(nn.Cell):
    """Predicts tokens: ``LN(gelu(dense(x))) E^T + bias``, E the embedding."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.dense, self.layer_norm = Linear(c, c, bias=True), LayerNorm(c)
        self.bias = empty_parameter((len(TOKENS),))

    def construct(
        self, x: Float[Tensor, "t c"], embedding: Float[Tensor, "v c"],
    ) -> Float[Tensor, "t v"]:
        x = self.layer_norm(expand(self.dense, x))
        return ops.matmul(x, ops.transpose(embedding, (1, 0))) + self.bias
