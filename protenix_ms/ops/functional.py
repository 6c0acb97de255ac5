# SPDX-License-Identifier: Apache-2.0
"""Operations of the model's layers: by a CPU kernel where one pays, else by MindSpore."""

from __future__ import annotations

from functools import cache

import mindspore
import numpy as np
from mindspore import Tensor, float32, ops

from protenix_ms.ops.einsum import einsum
from protenix_ms.ops.kernels import operator, pays, settings
from protenix_ms.runtime.policy import policy
from protenix_ms.typing import Float, Shaped

EPSILON = 1e-5
"""Added to the variance by every layer norm of Protenix."""

_layer_norm = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=EPSILON)
_transposed = ops.MatMul(transpose_a=True)
_bias_add = ops.BiasAdd()


@cache
def _constant(width: int, value: float) -> Tensor:
    return Tensor.from_numpy(np.full(width, value, np.float32))


@cache
def _identity(width: int) -> Tensor:
    return Tensor.from_numpy(np.eye(width, dtype=np.float32))


def _all_float32(x: Tensor, y: Tensor) -> bool:
    return x.dtype == float32 and y.dtype == float32


def layer_norm(
    x: Float[Tensor, "*b c"],
    weight: Float[Tensor, "c"] | None = None,
    bias: Float[Tensor, "c"] | None = None,
) -> Float[Tensor, "*b c"]:
    """Normalise `x` over its last axis; an absent `weight` is 1, an absent `bias` is 0."""
    weight = _constant(x.shape[-1], 1.0) if weight is None else weight
    bias = _constant(x.shape[-1], 0.0) if bias is None else bias
    if pays("layer_norm", x.size, x.dtype == float32, True):
        return operator("layer_norm")(x, weight, bias, settings(EPSILON))
    return _layer_norm(x, weight, bias)[0]


def layer_norm_channel_first(
    x: Float[Tensor, "c m"],
    weight: Float[Tensor, "c"] | None = None,
    bias: Float[Tensor, "c"] | None = None,
) -> Float[Tensor, "m c"]:
    """Normalise `x` over its first axis; the result has channels last.

    Without our kernel, the transpose on CPU is an exact product with the identity, four times
    faster than the permuting copy of MindSpore's CPU back end.
    """
    if pays("layer_norm", x.size, x.dtype == float32, True):
        weight = _constant(x.shape[0], 1.0) if weight is None else weight
        bias = _constant(x.shape[0], 0.0) if bias is None else bias
        return operator("layer_norm_channel_first")(x, weight, bias, settings(EPSILON, True))
    if policy().device == "CPU":
        x = _transposed(x, _identity(x.shape[0]))
    else:
        x = ops.transpose(x, (1, 0))
    return layer_norm(x, weight, bias)


def linear(
    x: Float[Tensor, "m c"], weight: Float[Tensor, "h c"], bias: Float[Tensor, "h"] | None
) -> Float[Tensor, "m h"]:
    """Compute ``x W^T + b``.

    While MindSpore's own product runs, its caller spins on one of the cores.
    """
    if pays("linear", x.size * weight.shape[0], x.dtype == float32):
        bias = _constant(1, 0.0) if bias is None else bias
        return operator("linear")(x, weight, bias, settings())
    y = einsum("mi,oi->mo", x, weight)
    return y if bias is None else _bias_add(y, bias)


def bf16_einsum(
    equation: str, x: Shaped[Tensor, "..."], y: Shaped[Tensor, "..."]
) -> Shaped[Tensor, "..."]:
    """Compute `einsum` with bf16 inputs and result.

    The CPU back end can convert bf16 but not multiply it: there the inputs and the result are
    rounded and the product, like a device's accumulator, is fp32.
    """
    x, y = x.astype(mindspore.bfloat16), y.astype(mindspore.bfloat16)
    if policy().device != "CPU":
        return einsum(equation, x, y)
    exact = einsum(equation, x.astype(float32), y.astype(float32))
    return exact.astype(mindspore.bfloat16).astype(float32)


def widened(x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """Convert `x` to fp32, where it is not.

    For a softmax or a loss of logits that a bf16 product made, and for joining with fp32, since
    Ascend joins tensors of one type only.
    """
    return x if x.dtype == float32 else x.astype(float32)


def gated(x: Float[Tensor, "..."], gate: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Multiply ``x * sigmoid(gate)``; the gate may be shared over axes of x."""
    if pays("gate", x.size, _all_float32(x, gate) and x.shape == gate.shape, True):
        return operator("gate")(x, gate, settings())
    return x * ops.sigmoid(gate)


def swiglu(x: Float[Tensor, "..."], gate: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Multiply ``x * silu(gate)``; the gate may be shared over axes of x."""
    if pays("gate", x.size, _all_float32(x, gate) and x.shape == gate.shape, True):
        return operator("gate")(x, gate, settings(flag=True))
    return x * ops.silu(gate)


def outer_sum(a: Float[Tensor, "n c"], b: Float[Tensor, "m c"]) -> Float[Tensor, "n m c"]:
    """Add ``a[i] + b[j]``: a pair from two singles."""
    if pays("outer_sum", a.size * b.shape[0], _all_float32(a, b), True):
        return operator("outer_sum")(a, b, settings())
    return ops.expand_dims(a, 1) + ops.expand_dims(b, 0)


def for_samples(x: Float[Tensor, "_ n c"], b: int) -> Float[Tensor, "b n c"]:
    """Repeat `x` for each of `b` samples if its leading axis is 1; else it has a row for each.

    MindSpore's broadcasting operations run on one thread with an index computed per element: 7 ms
    for a product of 5 x 256 x 768 numbers, where repeating first makes it 0.4 ms.
    """
    return ops.tile(x, (b, 1, 1)) if x.shape[0] == 1 < b else x


def smooth_lddt(
    x: Float[Tensor, "b a 3"], known: Float[Tensor, "a 3"], resolved: Float[Tensor, "a"],
    reach: Float[Tensor, "a"],
) -> tuple[Float[Tensor, "b a"], Float[Tensor, "b a 3"], Float[Tensor, "a"]]:
    """Sum over the pairs of each row how well their distances are kept, and store no pair.

    It is always a kernel: ask `native.kernels_serve` first.

    Args:
        x, known: coordinates, angstrom.
        resolved: 1 where they are known.
        reach: radius of each row's atom, angstrom; 0 if it is unknown.

    Returns:
        Sums per row, the derivative of their total by `x`, number of pairs of each row.
    """
    return operator("smooth_lddt")(x, known, resolved, reach, settings())


def rotate(
    x: Float[Tensor, "t h d"], cos: Float[Tensor, "t _"], sin: Float[Tensor, "t _"],
) -> Float[Tensor, "t h d"]:
    """Turn channels i and i + d/2 of every head by the angle of the token (rotary embedding).

    Args:
        cos, sin: of the angles, ``[t, d/2]``; they have no gradient.
    """
    if pays("rotate", x.size, x.dtype == float32, True):
        return operator("rotate")(x, cos, sin, settings())
    cos, sin = ops.expand_dims(cos, 1), ops.expand_dims(sin, 1)
    first, second = ops.chunk(x, 2, axis=-1)
    return ops.concat([first * cos - second * sin, second * cos + first * sin], -1)


def linear_gelu(
    x: Float[Tensor, "m c"], weight: Float[Tensor, "h c"], bias: Float[Tensor, "h"]
) -> Float[Tensor, "m h"]:
    """Compute ``gelu(x W^T + b)`` with the exact ``gelu(y) = y/2 (1 + erf(y / sqrt 2))``."""
    if pays("linear", x.size * weight.shape[0], x.dtype == float32):
        return operator("linear")(x, weight, bias, settings(flag=True))
    y = linear(x, weight, bias)
    return y * (0.5 + 0.5 * ops.erf(y * 0.5**0.5))
