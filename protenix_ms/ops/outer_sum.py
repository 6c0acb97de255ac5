# SPDX-License-Identifier: Apache-2.0
"""A pair from two singles."""

from __future__ import annotations

from mindspore import ops

from protenix_ms.typing import Float, Tensor


def outer_sum(
    a: Float[Tensor, "n c"], b: Float[Tensor, "m c"]
) -> Float[Tensor, "n m c"]:
    """``a[i] + b[j]``."""
    return ops.expand_dims(a, 1) + ops.expand_dims(b, 0)
