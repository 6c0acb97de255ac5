# SPDX-License-Identifier: Apache-2.0
"""Gates and outer sums by the C++ kernels, in one pass over memory.

Importing this module needs the compiled library: ask `native.library_path` first.
"""

from __future__ import annotations

from mindspore import Tensor, ops

from protenix_ms.ops.native_operator import NativeOperator, settings
from protenix_ms.runtime.policy import policy
from protenix_ms.typing import Float


def _same_shape(x, gate, numbers):
    return x


def _pair_shape(left, right, numbers):
    return [left[0], right[0], left[1]]


def _two_shapes(first, second, numbers, dout):
    return first, second


def _gate_gradient(x, gate, numbers, out, dout):
    dx, dgate = _gate_grad(x, gate, numbers, dout)
    return dx, dgate, ops.zeros_like(numbers)


def _outer_sum_gradient(left, right, numbers, out, dout):
    dleft, dright = _outer_sum_grad(left, right, numbers, dout)
    return dleft, dright, ops.zeros_like(numbers)


_gate = NativeOperator("gate", _same_shape, 1, _gate_gradient)
_gate_grad = NativeOperator("gate_grad", _two_shapes, 2)
_outer_sum = NativeOperator("outer_sum", _pair_shape, 1, _outer_sum_gradient)
_outer_sum_grad = NativeOperator("outer_sum_grad", _two_shapes, 2)


def kernel_gate(x: Float[Tensor, "*b"], gate: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """``x * sigmoid(gate)``."""
    return _gate(x, gate, settings(0.0, policy().threads, False))


def kernel_swiglu(x: Float[Tensor, "*b"], gate: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """``x * silu(gate)``."""
    return _gate(x, gate, settings(0.0, policy().threads, True))


def kernel_outer_sum(
    a: Float[Tensor, "n c"], b: Float[Tensor, "m c"]
) -> Float[Tensor, "n m c"]:
    """``a[i] + b[j]``."""
    return _outer_sum(a, b, settings(0.0, policy().threads, False))
