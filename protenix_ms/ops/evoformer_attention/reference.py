# SPDX-License-Identifier: Apache-2.0
"""Attention composed of MindSpore operators: the fallback, and the oracle of every kernel.

On the CPU back end a broadcasting addition on the logits costs ten times the matrix product, so
a bias shared over rows goes in as `BiasAdd` on a two-dimensional view, and a key mask as one more
channel of q and k.
"""

from __future__ import annotations

from mindspore import Tensor, ops

from protenix_ms.ops.einsum import einsum
from protenix_ms.ops.evoformer_attention.layout import MASKED, with_mask_channel
from protenix_ms.runtime.rows import rowwise
from protenix_ms.typing import Bool, Float

_softmax = ops.Softmax(-1)
_bias_add = ops.BiasAdd()


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Attend q, k, v ``[g, s, h, d]`` with `bias` ``[g', h, q, k]``; g is a multiple of g'."""
    logits = einsum("gqhd,gkhd->ghqk", q, k)
    if bias is not None:
        shape, groups = logits.shape, bias.shape[0]
        if groups == shape[0]:
            logits = logits + bias
        else:
            flat = ops.reshape(logits, (shape[0] // groups, -1))
            logits = ops.reshape(_bias_add(flat, ops.reshape(bias, (-1,))), shape)
    return einsum("ghqk,gkhd->gqhd", _softmax(logits), v)


def _one_batch(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, mask: Tensor | None
) -> Tensor:
    """Attend rows ``[r, s, h, d]`` of one batch entry, by chunks of rows."""
    if mask is not None:
        q, k, v = with_mask_channel(q, k, v, mask, MASKED)
    per_row = q.shape[2] * q.shape[1] * k.shape[1]

    if bias is None or bias.shape[0] == 1:
        return rowwise(None, _attend, q, k, v, shared=(bias,), cost=per_row)
    return rowwise(None, _attend, q, k, v, bias, cost=per_row)


def reference_attention(
    q: Float[Tensor, "b r q h d"],
    k: Float[Tensor, "b r k h d"],
    v: Float[Tensor, "b r k h d"],
    pair_bias: Float[Tensor, "_ _ h q k"] | None,
    mask: Bool[Tensor, "_ r 1 1 k"] | None,
    scale: float,
) -> Float[Tensor, "b r q h d"]:
    """See `evoformer_attention`."""
    q = q * scale
    batch = []
    for b in range(q.shape[0]):
        bias = None if pair_bias is None else pair_bias[min(b, pair_bias.shape[0] - 1)]
        kept = None if mask is None else mask[min(b, mask.shape[0] - 1), :, 0, 0]
        batch.append(_one_batch(q[b], k[b], v[b], bias, kept))
    return ops.stack(batch) if len(batch) > 1 else ops.expand_dims(batch[0], 0)
