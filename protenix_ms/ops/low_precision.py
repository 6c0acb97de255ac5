# SPDX-License-Identifier: Apache-2.0
"""Matrix products in bf16: real ones on Ascend, emulated by rounding on CPU, for tests."""

from __future__ import annotations

from collections.abc import Callable

import mindspore
from mindspore import Tensor

from protenix_ms.runtime.policy import policy


def bf16_product(
    product: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor
) -> Tensor:
    """``product(a, b)`` with bf16 inputs and result.

    The CPU back end can convert bf16 but not multiply it: there the inputs and the result are
    rounded and the product, like a device's accumulator, is fp32.
    """
    a, b = a.astype(mindspore.bfloat16), b.astype(mindspore.bfloat16)
    if policy().device != "CPU":
        return product(a, b)
    exact = product(a.astype(mindspore.float32), b.astype(mindspore.float32))
    return exact.astype(mindspore.bfloat16).astype(mindspore.float32)
