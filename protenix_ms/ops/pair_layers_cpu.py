# SPDX-License-Identifier: Apache-2.0
"""Layers of the pair track and the conditioned transformer as one C++ kernel each, no gradient.

`norm` stands for a LayerNorm with weight and bias, weights are ``[out, in]`` without offsets. What
is added to a large pair is written over it (`runtime.rows.is_large`): there is one pair, not two.
Importing this module needs the compiled library: ask `pair_layers.whole_layers`.
"""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn

from protenix_ms.ops.layer_norm import EPSILON
from protenix_ms.ops.native_operator import NativeOperator, settings
from protenix_ms.runtime.policy import policy
from protenix_ms.runtime.rows import is_large
from protenix_ms.typing import Float

Weights = tuple[Tensor, ...]
_NO_OFFSET = Tensor.from_numpy(np.zeros(1, np.float32))


def _as_first(first, *others):
    return first


def _four_as_first(first, *others):
    return (first,) * 4


def _channel_first(x, weight, bias, matrix, numbers):
    count = 1
    for length in x[:-1]:
        count = count * length
    return [matrix[0], count]


def _product_shape(x, weight, bias, numbers):
    return [x[0], weight[0]]


def _edge_shapes(x, weight, bias, matrix, *others):
    return ([matrix[0], x[0], x[1]],) * 2


def _address_shape(*inputs):
    return [2]


def _no_gradient(*inputs):
    raise NotImplementedError("a whole layer has no gradient; `whole_layers` was not asked")


class _Residual:
    """``x`` plus a layer of it; a large x is written over.

    Such a kernel returns the address at which it wrote: MindSpore hands over a copy of a view,
    even of the whole of a tensor, and then the result has to be an array of its own.
    """

    def __init__(self, name: str) -> None:
        self._new = NativeOperator(name, _as_first, 1, _no_gradient)
        self._over = NativeOperator(name, _address_shape, 1, _no_gradient)
        self._over.add_prim_attr("over", True)  # or MindSpore takes one for the other

    def __call__(self, x: Tensor, *others: Tensor) -> Tensor:
        if is_large(x.shape) and not policy().compiles:  # a graph drops what nobody reads
            written = self._over(x, *others).asnumpy().view(np.uint64)[0]
            if written == x.data_ptr():
                return x
        return self._new(x, *others)


_projection = NativeOperator("projection", _channel_first, 1, _no_gradient)
_linear = NativeOperator("linear", _product_shape, 1, _no_gradient)
_transition = _Residual("transition")
_edges = NativeOperator("edges", _edge_shapes, 2, _no_gradient)
_gated_output = _Residual("gated_output")
_qkvg = NativeOperator("qkvg", _four_as_first, 4, _no_gradient)
_attended = NativeOperator("attended", _as_first, 1, _no_gradient)
_conditioned = NativeOperator("conditioned_transition", _as_first, 1, _no_gradient)
_outer_product = _Residual("outer_product")
_attention = _Residual("triangle_attention")


def _settings(flag: bool = False) -> Tensor:
    return settings(EPSILON, policy().threads, flag)


def projection(
    x: Float[Tensor, "*b c"], norm: nn.Cell, weight: Float[Tensor, "h c"]
) -> Float[Tensor, "h m"]:
    """``W norm(x)``, channels first."""
    return _projection(x, norm.weight, norm.bias, weight, _settings())


def linear(
    x: Float[Tensor, "m c"], weight: Float[Tensor, "h c"], bias: Float[Tensor, "h"] | None
) -> Float[Tensor, "m h"]:
    """``x W^T + b``."""
    return _linear(x, weight, _NO_OFFSET if bias is None else bias, _settings())


def transition(
    x: Float[Tensor, "*b c"], norm: nn.Cell, weights: Weights
) -> Float[Tensor, "*b c"]:
    """``x`` plus its SwiGLU transition; weights: gate, value, output."""
    return _transition(x, norm.weight, norm.bias, *weights, _settings())


def edges(
    z: Float[Tensor, "n n c"], norm: nn.Cell, weights: Weights
) -> tuple[Float[Tensor, "h n n"], Float[Tensor, "h n n"]]:
    """Both gated edges of triangle multiplication; weights: value and gate of each."""
    return _edges(z, norm.weight, norm.bias, *weights, _settings())


def gated_output(
    z: Float[Tensor, "n n c"], norm: nn.Cell, product: Float[Tensor, "h n n"],
    product_norm: nn.Cell, weights: Weights,
) -> Float[Tensor, "n n c"]:
    """``z`` plus the gated output of triangle multiplication; weights: output, gate."""
    return _gated_output(z, norm.weight, norm.bias, product, product_norm.weight,
                         product_norm.bias, *weights, _settings())


def triangle_attention(
    z: Float[Tensor, "n n c"], norm: nn.Cell, bias: Float[Tensor, "h n n"], weights: Weights,
    ending: bool,
) -> Float[Tensor, "n n c"]:
    """``z`` plus its triangle attention, row by row; weights: query, key, value, gate, output."""
    return _attention(z, norm.weight, norm.bias, bias, *weights, _settings(ending))


def outer_product_mean(
    z: Float[Tensor, "n n c"], left: Float[Tensor, "m n h"], right: Float[Tensor, "h m n"],
    output: nn.Cell, scale: float,
) -> Float[Tensor, "n n c"]:
    """``z + scale (W vec(sum_m left[m, i] right[m, j]^T) + b)``, with `output`'s W and b."""
    numbers = settings(scale, policy().threads, False)
    return _outer_product(z, left, right, output.weight, output.bias, numbers)


def qkvg(
    a: Float[Tensor, "b n c"], adapting: tuple[Tensor, ...], attention: nn.Cell
) -> tuple[Float[Tensor, "b n c"], ...]:
    """Query, key, value and gate of the adaptively normalised `a`.

    Args:
        adapting: scale before its sigmoid and shift, ``[1 or b, n, c]``; then those of the second
            norm that key and value have in the atom transformer.
        attention: owner of the projections.
    """
    layers = (attention.linear_q, attention.linear_k, attention.linear_v, attention.linear_g)
    second = len(adapting) > 2
    return _qkvg(a, *(adapting if second else adapting * 2), *(x.weight for x in layers),
                 attention.linear_q.bias, _settings(second))


def attended(
    a: Float[Tensor, "b n c"], gate: Float[Tensor, "_ n c"], o: Float[Tensor, "b n h"],
    weight: Float[Tensor, "c h"],
) -> Float[Tensor, "b n c"]:
    """``a + sigmoid(gate) * W o``."""
    return _attended(a, gate, o, weight, _settings())


def conditioned_transition(
    a: Float[Tensor, "b n c"], adapting: tuple[Tensor, Tensor], gate: Float[Tensor, "_ n c"],
    weights: Weights,
) -> Float[Tensor, "b n c"]:
    """`a` plus its conditioned transition; `adapting` as of `qkvg`, weights of `transition`."""
    return _conditioned(a, *adapting, gate, *weights, _settings())
