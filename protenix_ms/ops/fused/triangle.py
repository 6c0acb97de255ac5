# SPDX-License-Identifier: Apache-2.0
"""Fused and lean forms of triangle multiplication and triangle attention.

The lean forms work on the flattened pair ``[n n, c]`` and have no permute: projections come out
of the matrix product in the layout that the next product wants.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from protenix_ms.ops.einsum import matrix_product
from protenix_ms.ops.evoformer_attention import evoformer_attention
from protenix_ms.ops.functional import EPSILON, gated
from protenix_ms.ops.kernels import add_layer, operator, settings
from protenix_ms.ops.projection import (
    PairProjection,
    channel_first,
    norm_from_channel_first,
)
from protenix_ms.runtime.recompute import recomputed_piece
from protenix_ms.runtime.rows import rowwise
from protenix_ms.typing import Float

FEWEST_CHANNELS = 32  # of a chunk: each reads the whole pair
KERNEL_CHANNELS = 12  # of a chunk of our kernel, which computes as many at a time


def _product(layer: nn.Cell, a: Float[Tensor, "c n n"], b: Tensor) -> Float[Tensor, "c n n"]:
    """Sum ``a[i, k] b[j, k]`` of outgoing or ``a[k, i] b[k, j]`` of incoming edges over k."""
    return matrix_product(a, b, turned_a=not layer.outgoing, turned_b=layer.outgoing)


def fused_multiplication(
    layer: nn.Cell, z: Float[Tensor, "n n c_z"]
) -> Float[Tensor, "n n c_z"]:
    """Add triangle multiplication to `z`; edges exist for some channels at a time."""
    weights = [layer.linear_a_p.weight, layer.linear_a_g.weight,
               layer.linear_b_p.weight, layer.linear_b_g.weight]
    norm, product_norm = layer.layer_norm_in, layer.layer_norm_out

    def product(channels: slice) -> Float[Tensor, "c n n"]:
        a, b = operator("edges")(z, norm.weight, norm.bias, *(w[channels] for w in weights),
                                 settings(EPSILON))
        return _product(layer, a, b)

    o = rowwise(None, product, range(len(weights[0])), cost=z.shape[0] ** 2, least=KERNEL_CHANNELS)
    return add_layer("gated_output", z, norm.weight, norm.bias, o, product_norm.weight,
                     product_norm.bias, layer.linear_z.weight, layer.linear_g.weight,
                     settings(EPSILON))


def lean_multiplication(
    layer: nn.Cell, z: Float[Tensor, "n n c_z"], mask: Float[Tensor, "*n c_z"] | None = None,
) -> Float[Tensor, "n n c_z"]:
    """Compute the update with edges of some channels and normalised products of some rows."""
    n, width = len(z), len(layer.linear_a_p.weight)

    def product(channels: slice, z: Tensor) -> Float[Tensor, "c n n"]:
        x = ops.reshape(layer.layer_norm_in(z), (n * n, -1))
        a, b = (
            ops.reshape(gated(channel_first(p, x, channels), channel_first(g, x, channels)),
                        (-1, n, n))
            for p, g in ((layer.linear_a_p, layer.linear_a_g), (layer.linear_b_p, layer.linear_b_g))
        )
        return _product(layer, a, b)

    def output(z: Float[Tensor, "r n c_z"], o: Float[Tensor, "c r n"]) -> Float[Tensor, "r n c_z"]:
        x = ops.reshape(layer.layer_norm_in(z), (-1, z.shape[-1]))
        o = norm_from_channel_first(layer.layer_norm_out, ops.reshape(o, (width, -1)))
        update = ops.reshape(gated(layer.linear_z(o), layer.linear_g(x)), z.shape)
        return update if mask is None else update * mask

    o = rowwise(layer, product, range(width), shared=(z,), cost=n * n, least=FEWEST_CHANNELS)
    return rowwise(layer, output, z, o, axes=(0, 1), cost=n * 4 * width)


def fused_attention(layer: nn.Cell, z: Float[Tensor, "n n c_z"]) -> Float[Tensor, "n n c_z"]:
    """Add triangle attention to `z`, row by row."""
    bias = PairProjection(z, layer.layer_norm)(layer.linear.weight)
    if not layer.starting:
        bias = ops.transpose(bias, (0, 2, 1))
    norm, mha = layer.layer_norm, layer.mha
    projections = (mha.linear_q, mha.linear_k, mha.linear_v, mha.linear_g, mha.linear_o)
    return add_layer("triangle_attention", z, norm.weight, norm.bias, bias,
                     *(x.weight for x in projections), settings(EPSILON, not layer.starting))


def lean_attention(
    layer: nn.Cell, z: Float[Tensor, "n n c_z"], mask: Float[Tensor, "*n c_z"] | None = None,
) -> Float[Tensor, "n n c_z"]:
    """Compute the update with queries of some rows at a time.

    Around the ending node projections keep the layout of `z`; only views of them and the small
    bias are transposed.
    """
    n, _, c_z = z.shape
    mha = layer.mha

    def pair_bias(z: Tensor) -> Float[Tensor, "1 1 h n n"]:
        x = ops.reshape(layer.layer_norm(z), (n * n, c_z))
        return ops.reshape(channel_first(layer.linear, x), (1, 1, -1, n, n))

    def turned(x: Float[Tensor, "n m h d"]) -> Float[Tensor, "_ _ h d"]:
        return x if layer.starting else ops.transpose(x, (1, 0, 2, 3))

    def attention(z: Tensor, bias: Tensor) -> Tensor:
        x = ops.reshape(layer.layer_norm(z), (-1, c_z))
        heads = (*z.shape[:2], layer.n_heads, -1)
        q, k, v, gate = (
            ops.expand_dims(turned(ops.reshape(linear(x), heads)), 0)
            for linear in (mha.linear_q, mha.linear_k, mha.linear_v, mha.linear_g)
        )
        o = turned(evoformer_attention(q, k, v, bias, gate=gate)[0])
        update = ops.reshape(mha.linear_o(ops.reshape(o, (len(x), -1))), z.shape)
        return update if mask is None else update * mask

    bias = recomputed_piece(layer, pair_bias, z)
    if not layer.starting:
        bias = ops.transpose(bias, (0, 1, 2, 4, 3))
    return rowwise(layer, attention, z, shared=(bias,), axes=0 if layer.starting else 1,
                   cost=4 * n * c_z)
