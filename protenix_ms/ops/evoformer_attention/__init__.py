# SPDX-License-Identifier: Apache-2.0
"""Attention with a pair bias and a key mask: one interface, several implementations."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import mindspore
from mindspore import ops

from protenix_ms.ops.evoformer_attention.cpu import kernel_window_attention
from protenix_ms.ops.evoformer_attention.dispatch import form, implementation
from protenix_ms.runtime.gradient import recording
from protenix_ms.typing import Bool, Float, Tensor

__all__ = ["evoformer_attention", "windows_in_place"]


@lru_cache(maxsize=0)  # keeps nothing; but a graph calls it while compiling, and does not parse it
def windows_in_place(dtype: mindspore.Type, width: int) -> Callable | None:
    """Find the attention that reads windows where they are, `cpu.kernel_window_attention`.

    None where windows are made first: for gradients, other devices and number formats.

    Args:
        dtype: of the queries.
        width: of a head.
    """
    serves = not recording() and implementation(dtype, width) == "cpu"
    return kernel_window_attention if serves else None


def evoformer_attention(
    q: Float[Tensor, "b r q h d"],
    k: Float[Tensor, "b r k h d"],
    v: Float[Tensor, "b r k h d"],
    pair_bias: Float[Tensor, "_ _ h q k"] | None = None,
    mask: Bool[Tensor, "_ r 1 1 k"] | None = None,
    scale: float | None = None,
    gate: Float[Tensor, "b r q h d"] | None = None,
) -> Float[Tensor, "b r q h d"]:
    """Compute ``softmax(scale q k^T + pair_bias + mask) v`` over the keys of each row.

    Args:
        q, k, v: natural layout, as a projection leaves them: batch, row, token, head, channel.
        pair_bias: dimensions 0 and 1 may be 1, which shares it over batch or rows.
        mask: True keeps a key; dimension 0 may be 1. A row without any key gives zero.
        scale: factor of the logits, ``d**-0.5`` if absent.
        gate: the output is multiplied by its sigmoid.
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    name = implementation(q.dtype, q.shape[-1])
    if name == "cpu":
        return form(name)(q, k, v, pair_bias, mask, scale, gate)
    o = form(name)(q, k, v, pair_bias, mask, scale)
    return o if gate is None else o * ops.sigmoid(gate)
