# SPDX-License-Identifier: Apache-2.0
"""Layer normalisation by the C++ kernel, on every core where MindSpore's own has one.

Importing this module needs the compiled library: ask `native.library_path` first.
"""

from __future__ import annotations

from mindspore import Tensor, ops

from protenix_ms.ops.native_operator import NativeOperator, settings
from protenix_ms.runtime.policy import policy
from protenix_ms.typing import Float


def _forward_shape(x, weight, bias, numbers):
    return x


def _transposed_shape(x, weight, bias, numbers):
    return [x[1], x[0]]


def _backward_shapes(x, weight, bias, numbers, dy):
    return x, weight, bias


def _gradient(x, weight, bias, numbers, out, dout):
    return (*_layer_norm_grad(x, weight, bias, numbers, dout), ops.zeros_like(numbers))


_layer_norm = NativeOperator("layer_norm", _forward_shape, 1, _gradient)
_from_channel_first = NativeOperator("layer_norm", _transposed_shape, 1, _gradient)
_layer_norm_grad = NativeOperator("layer_norm_grad", _backward_shapes, 3)


def kernel_layer_norm(
    x: Float[Tensor, "*b c"],
    weight: Float[Tensor, "c"],
    bias: Float[Tensor, "c"],
    epsilon: float,
) -> Float[Tensor, "*b c"]:
    """See `layer_norm`."""
    return _layer_norm(x, weight, bias, settings(epsilon, policy().threads, False))


def kernel_layer_norm_channel_first(
    x: Float[Tensor, "c m"],
    weight: Float[Tensor, "c"],
    bias: Float[Tensor, "c"],
    epsilon: float,
) -> Float[Tensor, "m c"]:
    """See `layer_norm_channel_first`."""
    return _from_channel_first(x, weight, bias, settings(epsilon, policy().threads, True))
