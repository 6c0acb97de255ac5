# SPDX-License-Identifier: Apache-2.0
"""Join batch and rows to groups, and prepare masks and biases for the back ends."""

from __future__ import annotations

from collections.abc import Callable

import mindspore
from mindspore import Tensor, ops

from protenix_ms.typing import Bool, Float

FLAG_KEYS = 64
"""Keys per tile flag: `EVO_FLAG_COLUMNS` of csrc/ascend/common/evo_tiling.h."""

MASKED = -1e9
"""Added to the logits of a masked key; never -inf, which corrupts softmax on CPU."""

FP16_LOWEST = -6e4
ABSENT = -1e8
"""At or below this an additive mask takes a key away."""

Groups = tuple[Tensor, Tensor, Tensor, "Tensor | None", "Tensor | None", "Tensor | None"]
"""One attention with g = batch * rows. A plain tuple: MindSpore's graphs know no named one.

q, k, v ``[g, s, h, d]``; bias ``[g', h, q, k]``, where consecutive groups share, or None; keep
``[g, k]`` bool, True keeps a key, or None if all are; added ``[g, k]`` float32, what the mask adds
to logits, or None with keep.
"""


def _grouped_bias(bias: Tensor, batch: int, rows: int) -> Tensor:
    b, r, *rest = bias.shape
    if r == 1 or rows == 1:
        return ops.reshape(bias, (b * r, *rest))
    if b != batch:  # shared over the batch but not over rows: no group is next to its like
        bias = ops.broadcast_to(bias, (batch, r, *rest))
    return ops.reshape(bias, (batch * r, *rest))


def grouped(
    q: Float[Tensor, "b r q h d"],
    k: Float[Tensor, "b r k h d"],
    v: Float[Tensor, "b r k h d"],
    pair_bias: Float[Tensor, "_ _ h q k"] | None,
    mask: Bool[Tensor, "_ r 1 1 k"] | Float[Tensor, "_ r 1 1 k"] | None,
) -> Groups:
    """Join batch and rows; see `evoformer_attention` for the arguments."""
    batch, rows = q.shape[:2]
    q, k, v = (ops.reshape(x, (batch * rows, *x.shape[2:])) for x in (q, k, v))
    bias = None if pair_bias is None else _grouped_bias(pair_bias, batch, rows)
    if mask is None:
        return q, k, v, bias, None, None
    keys = k.shape[1]
    mask = ops.reshape(ops.broadcast_to(mask, (batch, rows, 1, 1, keys)), (batch * rows, keys))
    if mask.dtype == mindspore.bool_:
        keep = mask
        added = (1.0 - keep.astype(mindspore.float32)) * MASKED
    else:
        added = mask.astype(mindspore.float32)
        keep = added > ABSENT
    return q, k, v, bias, keep, added


def by_groups(function: Callable, at_once: int, *inputs: Tensor | None) -> Tensor:
    """Call `function` for `at_once` groups at a time and join its results.

    Args:
        function: takes the inputs.
        at_once: groups of a call.
        inputs: q first; an input that does not have a row for each group goes whole to every call.
    """
    groups = inputs[0].shape[0]
    if groups <= at_once:
        return function(*inputs)
    parts = []
    for i in range(0, groups, at_once):
        parts.append(function(*[x if x is None or x.shape[0] != groups else x[i : i + at_once]
                                for x in inputs]))
    return ops.concat(parts, 0)


def with_mask_channel(
    q: Float[Tensor, "g q h d"], k: Float[Tensor, "g k h d"], v: Float[Tensor, "g k h d"],
    keep: Bool[Tensor, "g k"], masked: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Give q a channel of ones and k one that is `masked` where a key is not kept.

    Values of such keys become zero, which makes a row without any key zero.
    """
    kept = ops.reshape(keep.astype(k.dtype), (*keep.shape, 1, 1))
    channel = ops.broadcast_to((1.0 - kept) * masked, (*k.shape[:-1], 1)).astype(k.dtype)
    ones = ops.ones((*q.shape[:-1], 1), q.dtype)
    return ops.concat([q, ones], -1), ops.concat([k, channel], -1), v * kept


def low_bias(bias: Tensor, dtype: mindspore.Type) -> Tensor:
    """Convert a bias to fp16 or bf16; where it forbids a key it stays finite in fp16."""
    if dtype == mindspore.float16 and bias.dtype != dtype:
        bias = ops.clamp(bias, min=FP16_LOWEST)
    return bias.astype(dtype)


def tile_flags(keep: Bool[Tensor, "g k"]) -> Tensor:
    """Flag every `FLAG_KEYS` keys: 0 if none is kept, 2 if all are, else 1.

    The result is uint8 ``[g, tiles]``.
    """
    groups, keys = keep.shape
    tiles = -(-keys // FLAG_KEYS)
    missing = tiles * FLAG_KEYS - keys
    kept = keep.astype(mindspore.float32)
    gone = 1.0 - kept
    if missing:
        nothing = ops.zeros((groups, missing), mindspore.float32)
        kept, gone = ops.concat([kept, nothing], 1), ops.concat([gone, nothing], 1)
    kept, gone = (ops.reshape(x, (groups, tiles, FLAG_KEYS)).sum(-1) for x in (kept, gone))
    some, all_ = (kept > 0).astype(mindspore.int32), (gone == 0).astype(mindspore.int32)
    return (some + some * all_).astype(mindspore.uint8)
