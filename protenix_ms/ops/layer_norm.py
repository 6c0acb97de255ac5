# SPDX-License-Identifier: Apache-2.0
"""Layer normalisation over the last axis, and over the first with a transpose."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from mindspore import Tensor, float32, ops

from protenix_ms.ops.native import kernels_serve
from protenix_ms.runtime.policy import policy
from protenix_ms.typing import Float

EPSILON = 1e-5  # everywhere in Protenix (trap H11)
WORTH_A_KERNEL = 2**13  # numbers; below, calling the kernel costs more than MindSpore's one thread

_layer_norm = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=EPSILON)

_transposed = ops.MatMul(transpose_a=True)


@cache
def _constant(width: int, value: float) -> Tensor:
    return Tensor.from_numpy(np.full(width, value, np.float32))


@cache
def _kernels() -> tuple[Callable, Callable]:
    """The C++ forms; importing them needs the compiled library."""
    from protenix_ms.ops import layer_norm_cpu as cpu

    return cpu.kernel_layer_norm, cpu.kernel_layer_norm_channel_first


def _kernel_pays(x: Tensor) -> bool:
    return x.dtype == float32 and x.size >= WORTH_A_KERNEL and kernels_serve()


def layer_norm(
    x: Float[Tensor, "*b c"],
    weight: Float[Tensor, "c"] | None = None,
    bias: Float[Tensor, "c"] | None = None,
) -> Float[Tensor, "*b c"]:
    """Normalise `x` over its last axis; absent `weight` is 1, absent `bias` is 0."""
    width = x.shape[-1]
    weight = _constant(width, 1.0) if weight is None else weight
    bias = _constant(width, 0.0) if bias is None else bias
    if _kernel_pays(x):
        return _kernels()[0](x, weight, bias, EPSILON)
    return _layer_norm(x, weight, bias)[0]


@cache
def _identity(width: int) -> Tensor:
    return Tensor.from_numpy(np.eye(width, dtype=np.float32))


def layer_norm_channel_first(
    x: Float[Tensor, "c m"],
    weight: Float[Tensor, "c"] | None = None,
    bias: Float[Tensor, "c"] | None = None,
) -> Float[Tensor, "m c"]:
    """Normalise `x` over its first axis; the result has channels last.

    Without our kernel, the transpose on CPU is an exact product with the identity, four times
    faster than the back end's permuting copy (reference mindspore.md section 2).
    """
    if _kernel_pays(x):
        width = x.shape[0]
        weight = _constant(width, 1.0) if weight is None else weight
        bias = _constant(width, 0.0) if bias is None else bias
        return _kernels()[1](x, weight, bias, EPSILON)
    if policy().device == "CPU":
        x = _transposed(x, _identity(x.shape[0]))
    else:
        x = ops.transpose(x, (1, 0))
    return layer_norm(x, weight, bias)
