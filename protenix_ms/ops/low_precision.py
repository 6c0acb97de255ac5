# SPDX-License-Identifier: Apache-2.0
"""Matrix products in bf16: real ones on Ascend, emulated by rounding on CPU, for tests."""

from __future__ import annotations

import mindspore
from mindspore import Tensor

from protenix_ms.ops.einsum import einsum
from protenix_ms.runtime.policy import policy
from protenix_ms.typing import Shaped


def widened(x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """`x` in fp32: for a softmax or a loss of logits that a bf16 product made, and for joining
    with fp32, since Ascend joins tensors of one type only."""
    return x if x.dtype == mindspore.float32 else x.astype(mindspore.float32)


def bf16_einsum(
    equation: str, x: Shaped[Tensor, "..."], y: Shaped[Tensor, "..."]
) -> Shaped[Tensor, "..."]:
    """`einsum` with bf16 inputs and result.

    The CPU back end can convert bf16 but not multiply it: there the inputs and the result are
    rounded and the product, like a device's accumulator, is fp32.
    """
    x, y = x.astype(mindspore.bfloat16), y.astype(mindspore.bfloat16)
    if policy().device != "CPU":
        return einsum(equation, x, y)
    exact = einsum(equation, x.astype(mindspore.float32), y.astype(mindspore.float32))
    return exact.astype(mindspore.bfloat16).astype(mindspore.float32)
