# SPDX-License-Identifier: Apache-2.0
"""Triangle multiplication and triangle attention on the pair representation.

Both work on the flattened pair ``[n n, c]``: projections come out of the matrix product in the
layout that the next product wants, so that triangle multiplication has no permute at all
(reference mindspore.md section 3). There is no pair mask: upstream never gives one (trap H23).
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from protenix_ms.nn import LayerNorm, Linear
from protenix_ms.ops.einsum import matrix_product
from protenix_ms.ops.evoformer_attention import evoformer_attention
from protenix_ms.ops.gating import gated
from protenix_ms.ops.pair_layers import whole_layers
from protenix_ms.runtime.chunk import map_parts, map_rows
from protenix_ms.runtime.padding import key_bias
from protenix_ms.runtime.recompute import recomputed_piece
from protenix_ms.typing import Float

HEAD_WIDTH = 32
FEWEST_CHANNELS = 32  # of a chunk: each reads the whole pair
KERNEL_CHANNELS = 12  # of a chunk of our kernel, which computes as many at a time


class TriangleMultiplication(nn.Cell):
    """AF3 Algorithms 12 (outgoing) and 13 (incoming).

    Upstream's in-place inference branch is the same function, but for a dead path that would gate
    with an un-normalised z (trap H7); there is one form here.

    Args:
        c_z: pair channels.
        c_hidden: channels of the product.
        outgoing: which edges meet.
    """

    recompute_kind = "triangle_multiplication"

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

    def construct(
        self, z: Float[Tensor, "n n c_z"], keep: Float[Tensor, "n"] | None = None,
        mask: Float[Tensor, "*n c_z"] | None = None,
    ) -> Float[Tensor, "n n c_z"]:
        """The update of `z`; arguments as of `added`.

        Edges exist for some channels at a time, the normalised product for some rows.
        """
        n, width = len(z), self.linear_a_p.weight.shape[0]
        o = map_rows(lambda part: self._product(z, part, keep), width, n * n, FEWEST_CHANNELS)

        def rows(z: Tensor, o: Float[Tensor, "c r n"]) -> Float[Tensor, "r n c_z"]:
            x = self.layer_norm_in(z)
            o = self.layer_norm_out.from_channel_first(ops.reshape(o, (width, -1)))
            update = gated(self.linear_z(o), self.linear_g(ops.reshape(x, (-1, z.shape[-1]))))
            update = ops.reshape(update, z.shape)
            return update if mask is None else update * mask

        modules = (self.layer_norm_in, self.layer_norm_out, self.linear_z, self.linear_g)
        return map_parts(lambda z, o: recomputed_piece(self.recompute_kind, modules, rows, z, o),
                         (z, o), (0, 1), n * 4 * width)

    def _multiplied(
        self, a: Float[Tensor, "c n n"], b: Float[Tensor, "c n n"]
    ) -> Float[Tensor, "c n n"]:
        """``sum_k a[i, k] b[j, k]``, or ``sum_k a[k, i] b[k, j]`` of incoming edges."""
        return matrix_product(a, b, turned_a=not self.outgoing, turned_b=self.outgoing)

    def _product(
        self, z: Float[Tensor, "n n c_z"], part: slice, keep: Float[Tensor, "n"] | None
    ) -> Float[Tensor, "c n n"]:
        """Some channels of the sum over triangles."""
        n = len(z)
        edges = ((self.linear_a_p, self.linear_a_g), (self.linear_b_p, self.linear_b_g))

        def channels(z: Tensor) -> Tensor:
            x = ops.reshape(self.layer_norm_in(z), (n * n, -1))
            if keep is not None:  # edges are projections without offset: theirs become zero
                x = x * ops.reshape(ops.expand_dims(keep, 1) * keep, (n * n, 1))
            a, b = (
                ops.reshape(gated(p.channel_first(x, part), g.channel_first(x, part)), (-1, n, n))
                for p, g in edges
            )
            return self._multiplied(a, b)

        modules = (self.layer_norm_in, *edges[0], *edges[1])
        return recomputed_piece(self.recompute_kind, modules, channels, z)

    def added(
        self, z: Float[Tensor, "n n c_z"], keep: Float[Tensor, "n"] | None = None,
        mask: Float[Tensor, "*n c_z"] | None = None,
    ) -> Float[Tensor, "n n c_z"]:
        """`z` plus its update.

        Args:
            keep: 0 for tokens that are padding (see `Padding`).
            mask: multiplies the update in training (see `RowDropout`).
        """
        kernels = whole_layers(z)
        if kernels is None or keep is not None or mask is not None:
            return z + self(z, keep, mask)
        edges = (self.linear_a_p, self.linear_a_g, self.linear_b_p, self.linear_b_g)

        def channels(part: slice) -> Tensor:
            a, b = kernels.edges(z, self.layer_norm_in, tuple(e.weight[part] for e in edges))
            return self._multiplied(a, b)

        o = map_rows(channels, edges[0].weight.shape[0], z.shape[0] ** 2, KERNEL_CHANNELS)
        return kernels.gated_output(z, self.layer_norm_in, o, self.layer_norm_out,
                                    (self.linear_z.weight, self.linear_g.weight))


class _Projections(nn.Cell):
    """Query, key, value, gate and output of triangle attention; none has an offset."""

    def __init__(self, c_z: int, n_heads: int) -> None:
        super().__init__()
        width = n_heads * HEAD_WIDTH
        self.linear_q = Linear(c_z, width)
        self.linear_k = Linear(c_z, width)
        self.linear_v = Linear(c_z, width)
        self.linear_o = Linear(width, c_z, init="zeros")
        self.linear_g = Linear(c_z, width, init="zeros")


class TriangleAttention(nn.Cell):
    """AF3 Algorithms 14 (starting node) and 15 (ending node).

    Upstream's ending node is a starting node on the transposed pair (trap H8). Here projections
    keep the natural layout, and only views and the small bias are transposed.

    Args:
        c_z: pair channels.
        n_heads: heads of 32 channels.
        starting: which node the attending edges share.
    """

    recompute_kind = "triangle_attention"

    def __init__(self, c_z: int, n_heads: int, starting: bool) -> None:
        super().__init__()
        self.n_heads, self.starting = n_heads, starting
        self.layer_norm = LayerNorm(c_z)
        self.linear = Linear(c_z, n_heads)
        self.mha = _Projections(c_z, n_heads)

    def _turn(self, x: Float[Tensor, "n m h d"]) -> Float[Tensor, "_ _ h d"]:
        """Rows of attention first: a view."""
        return x if self.starting else ops.transpose(x, (1, 0, 2, 3))

    def construct(
        self, z: Float[Tensor, "n n c_z"], keep: Float[Tensor, "n"] | None = None,
        mask: Float[Tensor, "*n c_z"] | None = None,
    ) -> Float[Tensor, "n n c_z"]:
        """The update of `z`; arguments as of `added`. Queries exist for some rows at a time."""
        n, _, c_z = z.shape
        mha = self.mha

        def pair_bias(z: Tensor) -> Float[Tensor, "1 1 h n n"]:
            x = ops.reshape(self.layer_norm(z), (n * n, c_z))
            return ops.reshape(self.linear.channel_first(x), (1, 1, self.n_heads, n, n))

        def rows(z: Tensor, bias: Tensor) -> Tensor:
            x = ops.reshape(self.layer_norm(z), (-1, c_z))
            heads = (*z.shape[:2], self.n_heads, HEAD_WIDTH)
            q, k, v, gate = (
                ops.expand_dims(self._turn(ops.reshape(linear(x), heads)), 0)
                for linear in (mha.linear_q, mha.linear_k, mha.linear_v, mha.linear_g)
            )
            o = self._turn(evoformer_attention(q, k, v, bias, gate=gate)[0])
            update = ops.reshape(mha.linear_o(ops.reshape(o, (len(x), -1))), z.shape)
            return update if mask is None else update * mask

        kind, norm = self.recompute_kind, self.layer_norm
        bias = recomputed_piece(kind, (norm, self.linear), pair_bias, z)
        if not self.starting:
            bias = ops.transpose(bias, (0, 1, 2, 4, 3))
        if keep is not None:
            bias = bias + key_bias(keep)
        return map_parts(lambda z: recomputed_piece(kind, (norm, mha), rows, z, bias),
                         (z,), (0 if self.starting else 1,), 4 * n * c_z)

    def added(
        self, z: Float[Tensor, "n n c_z"], keep: Float[Tensor, "n"] | None = None,
        mask: Float[Tensor, "*n c_z"] | None = None,
    ) -> Float[Tensor, "n n c_z"]:
        """`z` plus its update.

        Args:
            keep: 0 for tokens that are padding (see `Padding`).
            mask: multiplies the update in training (see `RowDropout`).
        """
        kernels = whole_layers(z)
        if kernels is None or mask is not None:
            return z + self(z, keep, mask)
        n, mha = z.shape[0], self.mha
        bias = kernels.projection(z, self.layer_norm, self.linear.weight)
        bias = ops.reshape(bias, (self.n_heads, n, n))
        if not self.starting:
            bias = ops.transpose(bias, (0, 2, 1))
        if keep is not None:
            bias = bias + key_bias(keep)
        layers = (mha.linear_q, mha.linear_k, mha.linear_v, mha.linear_g, mha.linear_o)
        return kernels.triangle_attention(z, self.layer_norm, bias,
                                          tuple(x.weight for x in layers), not self.starting)
