# SPDX-License-Identifier: Apache-2.0
"""Attention by the fused C++ kernel: no logits in memory, its own gradient.

Without the compiled library the functions raise ResourceError: ask `native.kernels_serve` first.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from mindspore import Tensor, ops

from protenix_ms.ops.kernels import NativeOperator, operator, settings
from protenix_ms.typing import Bool, Float

_absent = Tensor.from_numpy(np.zeros(1, np.float32))  # of rank 1, unlike any input that is there


def swapped(x: Tensor) -> bool:
    """Tell whether x is a view of a buffer in which rows and tokens change places."""
    return not x.is_contiguous() and x.swapaxes(1, 2).is_contiguous()


class _Attention(NativeOperator):
    """The forward kernel, which reads an ending node's buffers as they are.

    The ending node of triangle attention comes as views with rows and tokens swapped. PyNative,
    which alone calls `__call__`, then reads the buffers themselves and returns such a view again;
    a graph has real transposes.
    """

    def __call__(self, q, k, v, bias, mask, gate, numbers):
        present = (q, k, v) if gate is _absent else (q, k, v, gate)
        if not all(swapped(x) for x in present):
            return super().__call__(q, k, v, bias, mask, gate, numbers)
        q, k, v, *gates = (x.swapaxes(1, 2) for x in present)
        ending = settings(float(numbers.asnumpy()[0]), True)
        out, lse = super().__call__(q, k, v, bias, mask, gates[0] if gates else gate, ending)
        return out.swapaxes(1, 2), lse


@cache
def _attention() -> _Attention:
    return _Attention("attention")


def kernel_window_attention(
    q: Float[Tensor, "b a h d"],
    k: Float[Tensor, "b a h d"],
    v: Float[Tensor, "b a h d"],
    gate: Float[Tensor, "b a h d"],
    bias: Float[Tensor, "w h q k"],
) -> Float[Tensor, "b a h d"]:
    """Attend within windows of `q` tokens and the `k` around them, without a gradient.

    Windows are read where they are, neither padded nor gathered. See `evoformer_attention`.
    """
    return operator("window_attention")(q, k, v, gate, bias, settings(q.shape[-1] ** -0.5))


def kernel_attention(
    q: Float[Tensor, "b r q h d"],
    k: Float[Tensor, "b r k h d"],
    v: Float[Tensor, "b r k h d"],
    pair_bias: Float[Tensor, "_ _ h q k"] | None,
    mask: Bool[Tensor, "_ r 1 1 k"] | Float[Tensor, "_ r 1 1 k"] | None,
    scale: float,
    gate: Float[Tensor, "b r q h d"] | None = None,
) -> Float[Tensor, "b r q h d"]:
    """See `evoformer_attention`; a float mask is added to the logits, -1e8 or less is absent."""
    if mask is not None:
        mask = ops.reshape(mask, (mask.shape[0], mask.shape[1], mask.shape[4]))
    inputs = [_absent if x is None else x for x in (pair_bias, mask, gate)]
    return _attention()(q, k, v, *inputs, settings(scale))[0]
