# SPDX-License-Identifier: Apache-2.0
"""Run layers of the pair track and the conditioned transformer as one C++ kernel each.

`norm` is a LayerNorm with weight and bias; weights are ``[out, in]`` without offsets. A layer that
is added to a large pair is written over it (`runtime.rows.is_large`): there is one pair, not two.
The kernels have no gradient: a module's composed form trains, and tests compare these with it.
"""

from __future__ import annotations

import sys
from types import ModuleType

from mindspore import Tensor, float32, nn

from protenix_ms.ops.functional import EPSILON
from protenix_ms.ops.kernels import add_layer, operator, pays, settings
from protenix_ms.typing import Float

Weights = tuple[Tensor, ...]


def whole_layers(x: Float[Tensor, "*b c"]) -> ModuleType | None:
    """Return this module if its kernels serve `x`; None where the composed form does."""
    serve = pays("whole_layer", x.size // x.shape[-1], x.dtype == float32)
    return sys.modules[__name__] if serve else None


def projection(
    x: Float[Tensor, "*b c"], norm: nn.Cell, weight: Float[Tensor, "h c"]
) -> Float[Tensor, "h m"]:
    """Compute ``W norm(x)``, channels first."""
    return operator("projection")(x, norm.weight, norm.bias, weight, settings(EPSILON))


def transition(
    x: Float[Tensor, "*b c"], norm: nn.Cell, weights: Weights
) -> Float[Tensor, "*b c"]:
    """Add to ``x`` its SwiGLU transition; weights: gate, value, output."""
    return add_layer("transition", x, norm.weight, norm.bias, *weights, settings(EPSILON))


def edges(
    z: Float[Tensor, "n n c"], norm: nn.Cell, weights: Weights
) -> tuple[Float[Tensor, "h n n"], Float[Tensor, "h n n"]]:
    """Compute both gated edges of triangle multiplication; weights: value and gate of each."""
    return operator("edges")(z, norm.weight, norm.bias, *weights, settings(EPSILON))


def gated_output(
    z: Float[Tensor, "n n c"], norm: nn.Cell, product: Float[Tensor, "h n n"],
    product_norm: nn.Cell, weights: Weights,
) -> Float[Tensor, "n n c"]:
    """Add to ``z`` the gated output of triangle multiplication; weights: output, gate."""
    return add_layer("gated_output", z, norm.weight, norm.bias, product, product_norm.weight,
                     product_norm.bias, *weights, settings(EPSILON))


def triangle_attention(
    z: Float[Tensor, "n n c"], norm: nn.Cell, bias: Float[Tensor, "h n n"], weights: Weights,
    ending: bool,
) -> Float[Tensor, "n n c"]:
    """Add to ``z`` its triangle attention; weights: query, key, value, gate, output."""
    return add_layer("triangle_attention", z, norm.weight, norm.bias, bias, *weights,
                     settings(EPSILON, ending))


def outer_product_mean(
    z: Float[Tensor, "n n c"], left: Float[Tensor, "m n h"], right: Float[Tensor, "h m n"],
    output: nn.Cell, scale: float,
) -> Float[Tensor, "n n c"]:
    """Compute ``z + scale (W vec(sum_m left[m, i] right[m, j]^T) + b)``; `output` owns W and b."""
    return add_layer("outer_product", z, left, right, output.weight, output.bias, settings(scale))


def qkvg(
    a: Float[Tensor, "b n c"], adapting: tuple[Tensor, ...], attention: nn.Cell
) -> tuple[Float[Tensor, "b n c"], ...]:
    """Project the adaptively normalised `a` to query, key, value and gate.

    Args:
        adapting: scale before its sigmoid and shift, ``[1 or b, n, c]``; then those of the second
            norm that key and value have in the atom transformer.
        attention: owner of the projections.
    """
    layers = (attention.linear_q, attention.linear_k, attention.linear_v, attention.linear_g)
    second = len(adapting) > 2
    return operator("qkvg")(a, *(adapting if second else adapting * 2),
                            *(layer.weight for layer in layers), attention.linear_q.bias,
                            settings(EPSILON, second))


def attended(
    a: Float[Tensor, "b n c"], gate: Float[Tensor, "_ n c"], o: Float[Tensor, "b n h"],
    weight: Float[Tensor, "c h"],
) -> Float[Tensor, "b n c"]:
    """Compute ``a + sigmoid(gate) * W o``."""
    return operator("attended")(a, gate, o, weight, settings())


def conditioned_transition(
    a: Float[Tensor, "b n c"], adapting: tuple[Tensor, Tensor], gate: Float[Tensor, "_ n c"],
    weights: Weights,
) -> Float[Tensor, "b n c"]:
    """Add to `a` its conditioned transition; `adapting` as of `qkvg`, weights of `transition`."""
    return operator("conditioned_transition")(a, *adapting, gate, *weights, settings(EPSILON))
