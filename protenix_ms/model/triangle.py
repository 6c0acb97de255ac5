# SPDX-License-Identifier: Apache-2.0
"""Triangle updates of the pair representation.

There is no pair mask: upstream has the argument and never passes one.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from protenix_ms.model.layers import LayerNorm, Linear
from protenix_ms.model.residual import Residual
from protenix_ms.ops.einsum import einsum
from protenix_ms.ops.evoformer_attention import evoformer_attention
from protenix_ms.ops.functional import gated
from protenix_ms.typing import Float

HEAD_WIDTH = 32


class TriangleMultiplication(Residual):
    """Adds triangle multiplication, outgoing (AF3 Algorithm 12) or incoming (Algorithm 13).

    Upstream's in-place form for inference is the same function, but for a branch that never runs
    and that would gate with a pair which is not normalised.

    Args:
        c_z: pair channels.
        c_hidden: channels of the product.
        outgoing: whether edges that leave the two nodes meet, or edges that arrive.
    """

    def __init__(self, c_z: int, c_hidden: int, outgoing: bool) -> None:
        super().__init__()
        self.outgoing = outgoing
        self.layer_norm_in = LayerNorm(c_z)
        self.layer_norm_out = LayerNorm(c_hidden)
        self.linear_a_p = Linear(c_z, c_hidden)
        self.linear_a_g = Linear(c_z, c_hidden, init="zeros")
        self.linear_b_p = Linear(c_z, c_hidden)
        self.linear_b_g = Linear(c_z, c_hidden, init="zeros")
        self.linear_g = Linear(c_z, c_z, init="zeros")
        self.linear_z = Linear(c_hidden, c_z, init="zeros")

    def update(self, z: Float[Tensor, "n n c_z"]) -> Float[Tensor, "n n c_z"]:
        """Compute the update of the pair from triangles of edges."""
        z = self.layer_norm_in(z)
        a = gated(self.linear_a_p(z), self.linear_a_g(z))
        b = gated(self.linear_b_p(z), self.linear_b_g(z))
        product = einsum("ikc,jkc->ijc" if self.outgoing else "kic,kjc->ijc", a, b)
        return gated(self.linear_z(self.layer_norm_out(product)), self.linear_g(z))


class _Projections(nn.Cell):
    """Holds query, key, value, gate and output of triangle attention; none has an offset."""

    def __init__(self, c_z: int, n_heads: int) -> None:
        super().__init__()
        width = n_heads * HEAD_WIDTH
        self.linear_q = Linear(c_z, width)
        self.linear_k = Linear(c_z, width)
        self.linear_v = Linear(c_z, width)
        self.linear_o = Linear(width, c_z, init="zeros")
        self.linear_g = Linear(c_z, width, init="zeros")


class TriangleAttention(Residual):
    """Adds triangle attention around the starting (AF3 Algorithm 14) or ending node (15).

    As in upstream, the ending node is the starting node of the transposed pair.

    Args:
        c_z: pair channels.
        n_heads: heads of 32 channels.
        starting: which node the attending edges share.
    """

    def __init__(self, c_z: int, n_heads: int, starting: bool) -> None:
        super().__init__()
        self.n_heads, self.starting = n_heads, starting
        self.layer_norm = LayerNorm(c_z)
        self.linear = Linear(c_z, n_heads)
        self.mha = _Projections(c_z, n_heads)

    def update(self, z: Float[Tensor, "n n c_z"]) -> Float[Tensor, "n n c_z"]:
        """Compute the update of the pair; each edge attends to edges of the shared node."""
        z = self.layer_norm(z if self.starting else ops.transpose(z, (1, 0, 2)))
        mha, heads = self.mha, (1, *z.shape[:2], self.n_heads, HEAD_WIDTH)
        projections = (mha.linear_q, mha.linear_k, mha.linear_v, mha.linear_g)
        q, k, v, gate = (ops.reshape(linear(z), heads) for linear in projections)
        bias = ops.transpose(self.linear(z), (2, 0, 1))[None, None]
        o = evoformer_attention(q, k, v, bias, gate=gate)
        update = mha.linear_o(ops.reshape(o, (*z.shape[:2], -1)))
        return update if self.starting else ops.transpose(update, (1, 0, 2))
