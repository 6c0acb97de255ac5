# SPDX-License-Identifier: Apache-2.0
"""Fused and lean forms of transitions and of attention with pair bias."""

from __future__ import annotations

from mindspore import Tensor, nn

from protenix_ms.ops.functional import EPSILON
from protenix_ms.ops.kernels import add_layer, operator, settings
from protenix_ms.runtime.rows import rowwise
from protenix_ms.typing import Float


def fused_transition(layer: nn.Cell, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
    """Add the SwiGLU transition of `x` to it."""
    linear = (layer.linear_no_bias_a, layer.linear_no_bias_b, layer.linear_no_bias)
    norm = layer.layernorm1
    return add_layer("transition", x, norm.weight, norm.bias, *(y.weight for y in linear),
                     settings(EPSILON))


def lean_transition(
    layer: nn.Cell, x: Float[Tensor, "*b c"], mask: None = None,
) -> Float[Tensor, "*b c"]:
    """Compute the update with the expanded channels of some rows at a time."""
    expanded = x.size // x.shape[-1] * layer.linear_no_bias.weight.shape[1]
    return rowwise(layer, layer.update, x, cost=expanded // x.shape[0])


def fused_conditioned_transition(
    layer: nn.Cell, a: Float[Tensor, "b n c_a"], s: Float[Tensor, "_ n c_s"],
) -> Float[Tensor, "b n c_a"]:
    """Add the conditioned transition of `a` to it."""
    linear = (layer.linear_nobias_a1, layer.linear_nobias_a2, layer.linear_nobias_b)
    return operator("conditioned_transition")(
        a, *layer.adaln.adapting(s), layer.linear_s(s), *(x.weight for x in linear),
        settings(EPSILON))


def fused_attention(
    layer: nn.Cell, a: Float[Tensor, "b n c_a"],
    bias: Float[Tensor, "r h q k"], s: Float[Tensor, "_ n c_s"] | None = None,
    windows: object = None,
) -> Float[Tensor, "b n c_a"] | None:
    """Add conditioned attention with pair bias to `a`; None for the unconditioned form."""
    if s is None:
        return None
    mha, second = layer.attention, layer.layernorm_kv
    adapting = layer.layernorm_a.adapting(s)
    adapting += adapting if second is None else second.adapting(s)
    weights = (x.weight for x in (mha.linear_q, mha.linear_k, mha.linear_v, mha.linear_g))
    projected = operator("qkvg")(a, *adapting, *weights, mha.linear_q.bias,
                                 settings(EPSILON, second is not None))
    o = mha.attend(*projected, bias, windows)
    return operator("attended")(a, layer.linear_a_last(s), o, mha.linear_o.weight, settings())
