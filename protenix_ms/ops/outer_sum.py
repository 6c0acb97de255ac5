# SPDX-License-Identifier: Apache-2.0
"""A pair from two singles."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from mindspore import float32, ops

from protenix_ms.ops.native import kernels_serve
from protenix_ms.typing import Float, Tensor

WORTH_A_KERNEL = 2**12  # numbers; below, calling the kernel costs more than MindSpore's broadcast


@cache
def _kernel() -> Callable:
    """The C++ form; importing it needs the compiled library."""
    from protenix_ms.ops.elementwise_cpu import kernel_outer_sum

    return kernel_outer_sum


def outer_sum(
    a: Float[Tensor, "n c"], b: Float[Tensor, "m c"]
) -> Float[Tensor, "n m c"]:
    """``a[i] + b[j]``."""
    numbers = a.shape[0] * b.shape[0] * a.shape[1]
    if a.dtype == float32 and b.dtype == float32 and numbers >= WORTH_A_KERNEL and kernels_serve():
        return _kernel()(a, b)
    return ops.expand_dims(a, 1) + ops.expand_dims(b, 0)
