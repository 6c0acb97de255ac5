# SPDX-License-Identifier: Apache-2.0
"""Fused and lean forms of the layers between alignment rows and the pair."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from protenix_ms.ops.einsum import einsum
from protenix_ms.ops.functional import EPSILON, gated
from protenix_ms.ops.kernels import add_layer, operator, settings
from protenix_ms.ops.projection import channel_first, from_channel_first
from protenix_ms.runtime.rows import rowwise
from protenix_ms.typing import Float


def fused_outer_product(
    layer: nn.Cell, z: Float[Tensor, "n n c_z"], m: Float[Tensor, "m n c_m"],
) -> Float[Tensor, "n n c_z"]:
    """Add the outer product mean of `m` to `z`."""
    norm, output = layer.layer_norm, layer.linear_out
    left = layer.linear_1(norm(m))
    right = operator("projection")(m, norm.weight, norm.bias, layer.linear_2.weight,
                                   settings(EPSILON))
    right = ops.reshape(right, (-1, *m.shape[:2]))
    return add_layer("outer_product", z, left, right, output.weight, output.bias,
                     settings(layer.scale(m)))


def lean_outer_product(
    layer: nn.Cell, z: Float[Tensor, "n n c_z"], m: Float[Tensor, "m n c_m"], mask: None = None,
) -> Float[Tensor, "n n c_z"]:
    """Compute the update with outer products of some rows of the pair at a time.

    Each channel of one side is a product of its own, and the channels are joined: one large
    product would need a permute, which takes as long as both products.
    """
    n_rows, n, c_m = m.shape
    x = ops.reshape(layer.layer_norm(m), (-1, c_m))
    a = ops.reshape(channel_first(layer.linear_1, x), (-1, n_rows, n))
    b = ops.reshape(layer.linear_2(x), (n_rows, -1))
    width = len(a)

    def rows(_: slice, a: Float[Tensor, "w m r"], b: Float[Tensor, "m _"]) -> Tensor:
        by_channel = [einsum("mi,mj->ij", a[c], b) for c in range(width)]
        outer = ops.concat([ops.reshape(x, (-1, n, width)) for x in by_channel], -1)
        return layer.linear_out(outer)

    update = rowwise(layer, rows, range(n), a, axes=(0, 2), shared=(b,), cost=n * width**2)
    return update * layer.scale(m)


def lean_averaging(
    layer: nn.Cell, m: Float[Tensor, "m n c_m"], weights: Float[Tensor, "h n n"],
    mask: Float[Tensor, "1 n c_m"] | None = None,
) -> Float[Tensor, "m n c_m"]:
    """Compute the update with values and gate channel-first, so that nothing is permuted."""
    x = ops.reshape(layer.layernorm_m(m), (-1, m.shape[-1]))
    v = ops.reshape(channel_first(layer.linear_no_bias_mv, x), (len(weights), -1, m.shape[1]))
    o = ops.reshape(einsum("hrj,hij->hri", v, weights), (-1, len(x)))
    o = gated(o, channel_first(layer.linear_no_bias_mg, x))
    update = ops.reshape(from_channel_first(layer.linear_no_bias_out, o), m.shape)
    return update if mask is None else update * mask
