# SPDX-License-Identifier: Apache-2.0
"""Products of matrices by the C++ kernel, with their gradient.

MindSpore's own split a product by the number of cores, on AVX2 already a batch of three on two,
and a part's edge is summed in another order: other bytes on another machine. These do not.
Importing this module needs the compiled library: ask `native.kernels_serve`.
"""

from __future__ import annotations

from mindspore import Tensor, ops

from protenix_ms.ops.native_operator import NativeOperator, settings
from protenix_ms.runtime.policy import policy
from protenix_ms.typing import Float


def _plain_shape(a, b, numbers):
    return [*a[:-2], a[-2], b[-1]]


def _turned_b_shape(a, b, numbers):
    return [*a[:-2], a[-2], b[-2]]


def _turned_a_shape(a, b, numbers):
    return [*a[:-2], a[-1], b[-1]]


def _turned_both_shape(a, b, numbers):
    return [*a[:-2], a[-1], b[-2]]


def _plain_gradient(a, b, numbers, out, dout):
    return (_turned_b(dout, b, numbers), _turned_a(a, dout, numbers), ops.zeros_like(numbers))


def _turned_b_gradient(a, b, numbers, out, dout):
    return (_plain(dout, b, numbers), _turned_a(dout, a, numbers), ops.zeros_like(numbers))


def _turned_a_gradient(a, b, numbers, out, dout):
    return (_turned_b(b, dout, numbers), _plain(a, dout, numbers), ops.zeros_like(numbers))


def _turned_both_gradient(a, b, numbers, out, dout):
    return (_turned_both(b, dout, numbers), _turned_both(dout, a, numbers),
            ops.zeros_like(numbers))


_plain = NativeOperator("product", _plain_shape, 1, _plain_gradient)
_turned_b = NativeOperator("product_turned_b", _turned_b_shape, 1, _turned_b_gradient)
_turned_a = NativeOperator("product_turned_a", _turned_a_shape, 1, _turned_a_gradient)
_turned_both = NativeOperator("product_turned_both", _turned_both_shape, 1, _turned_both_gradient)


def kernel_product(
    a: Float[Tensor, "*c _ _"], b: Float[Tensor, "*c _ _"], turned_a: bool = False,
    turned_b: bool = False,
) -> Float[Tensor, "*c _ _"]:
    """``a b`` of two matrices or two batches of them; what is turned is transposed first."""
    numbers = settings(0.0, policy().threads, False)
    if turned_a:
        return _turned_both(a, b, numbers) if turned_b else _turned_a(a, b, numbers)
    return _turned_b(a, b, numbers) if turned_b else _plain(a, b, numbers)
