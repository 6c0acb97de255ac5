# SPDX-License-Identifier: Apache-2.0
"""Attention by the vendor's fused operator, bent to our semantics. Never run on hardware.

`ops.flash_attention_score` adds the bias before it scales, takes no mask of keys by row, wants
channels in multiples of 16, limits the batch, and gives the bias no gradient at all. So: the bias is
divided by the scale; the mask is one more channel of q (ones) and k; channels are padded; groups are
cut in chunks; and the gradient of the bias is our own, by chunks of groups.
"""

from __future__ import annotations

from typing import NamedTuple

import mindspore
from mindspore import Tensor, nn, ops

from protenix_ms.ops.evoformer_attention.layout import Groups, grouped
from protenix_ms.runtime.chunk import chunks, rows_per_chunk
from protenix_ms.typing import Bool, Float

MOST_GROUPS = 2048
MOST_HEADS = 256
CHANNELS = 16
MASKED_LOGIT = -3e4
"""What a masked key's channel adds after scaling; its channel stays within fp16."""


class Arguments(NamedTuple):
    """What the vendor's operator is given: ``[g, s, h, d']`` and ``[1 or g, h, q, k]``."""

    q: Tensor
    k: Tensor
    v: Tensor
    shift: Tensor | None
    scale: float
    width: int


def _padded(x: Tensor, width: int) -> Tensor:
    missing = width - x.shape[-1]
    return ops.concat([x, ops.zeros((*x.shape[:-1], missing), x.dtype)], -1) if missing else x


def vendor_arguments(x: Groups, scale: float) -> Arguments:
    """Our groups as the vendor's operator understands them.

    Values of masked keys become zero, which makes a row without any key zero.
    """
    q, k, v, width = x.q, x.k, x.v, x.q.shape[-1]
    if x.keep is not None:
        keep = ops.reshape(x.keep.astype(k.dtype), (*x.keep.shape, 1, 1))
        lowest = max(MASKED_LOGIT / scale, -6e4)
        channel = ops.broadcast_to((1 - keep) * lowest, (*k.shape[:-1], 1)).astype(k.dtype)
        q = ops.concat([q, ops.ones((*q.shape[:-1], 1), q.dtype)], -1)
        k, v = ops.concat([k, channel], -1), v * keep
    wide = -(-q.shape[-1] // CHANNELS) * CHANNELS
    shift = None
    if x.bias is not None:
        shift = (x.bias.astype(mindspore.float32) / scale).astype(q.dtype)
        if shift.shape[0] not in (1, q.shape[0]):
            shift = ops.repeat_interleave(shift, q.shape[0] // shift.shape[0], 0)
    return Arguments(_padded(q, wide), _padded(k, wide), _padded(v, wide), shift, scale, width)


def _fused(a: Arguments) -> Tensor:
    """The vendor's operator over chunks of at most `MOST_GROUPS` groups."""
    parts = []
    for g in chunks(a.q.shape[0], MOST_GROUPS):
        shift = a.shift if a.shift is None or a.shift.shape[0] == 1 else a.shift[g]
        parts.append(ops.flash_attention_score(
            a.q[g], a.k[g], a.v[g], a.q.shape[2], real_shift=shift, scalar_value=a.scale,
            input_layout="BSND",
        ))
    out = parts[0] if len(parts) == 1 else ops.concat(parts, 0)
    return out[..., : a.width]


def bias_gradient(x: Groups, scale: float, out: Tensor, dout: Tensor) -> Tensor:
    """Gradient of ``x.bias``, fp32, recomputing the weights by chunks of groups."""
    shared, groups = x.bias.shape[0], x.q.shape[0]
    each = groups // shared
    per_group = 4 * x.q.shape[2] * x.q.shape[1] * x.k.shape[1]
    sums = []
    for s in range(shared):
        total = 0
        for part in chunks(each, rows_per_chunk(each, per_group)):
            g = slice(s * each + part.start, s * each + part.stop)
            total = total + _logit_gradient(x, g, s, scale, out[g], dout[g]).sum(0)
        sums.append(total)
    return ops.stack(sums)


def _heads_first(x: Tensor) -> Tensor:
    return ops.transpose(x.astype(mindspore.float32), (0, 2, 1, 3))


def _logit_gradient(
    x: Groups, g: slice, shared: int, scale: float, out: Tensor, dout: Tensor
) -> Tensor:
    """Gradient of the logits of some groups, ``[g, h, q, k]`` in fp32."""
    product = ops.BatchMatMul(transpose_b=True)
    q, k, v, o, do = (_heads_first(y) for y in (x.q[g], x.k[g], x.v[g], out, dout))
    logits = product(q, k) * scale + x.bias[shared].astype(mindspore.float32)
    if x.added is not None:
        logits = logits + ops.reshape(x.added[g], (-1, 1, 1, k.shape[2]))
    weights = ops.softmax(logits, -1)
    if x.keep is not None:
        weights = weights * ops.reshape(x.keep[g].astype(mindspore.float32), (-1, 1, 1, k.shape[2]))
    return weights * (product(do, v) - (o * do).sum(-1, keepdims=True))


class _WithBiasGradient(nn.Cell):
    """The vendor's output unchanged; backwards, the gradient of the bias that it omits."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def construct(self, out, q, k, v, bias, keep, added):
        return out * 1

    def bprop(self, out, q, k, v, bias, keep, added, result, dout):
        masked = len(keep.shape) == 2
        x = Groups(q, k, v, bias, keep if masked else None, added if masked else None)
        dbias = bias_gradient(x, self.scale, out, dout).astype(bias.dtype)
        others = (ops.zeros_like(y) for y in (q, k, v))
        return (dout, *others, dbias, ops.zeros_like(keep), ops.zeros_like(added))


def vendor_attention(
    q: Float[Tensor, "b r q h d"],
    k: Float[Tensor, "b r k h d"],
    v: Float[Tensor, "b r k h d"],
    pair_bias: Float[Tensor, "_ _ h q k"] | None,
    mask: Bool[Tensor, "_ r 1 1 k"] | Float[Tensor, "_ r 1 1 k"] | None,
    scale: float,
) -> Float[Tensor, "b r q h d"]:
    """See `evoformer_attention`; fp16 or bf16, at most `MOST_HEADS` heads.

    A float mask is read as one of booleans: its small values are not added.
    """
    x = grouped(q, k, v, pair_bias, mask)
    if x.bias is None:
        return ops.reshape(_fused(vendor_arguments(x, scale)), q.shape)
    out = _fused(vendor_arguments(x._replace(bias=ops.stop_gradient(x.bias)), scale))
    nothing = ops.zeros((1,), mindspore.float32)
    keep, added = (nothing, nothing) if x.keep is None else (x.keep, x.added)
    out = _WithBiasGradient(scale)(out, x.q, x.k, x.v, x.bias, keep, added)
    return ops.reshape(out, q.shape)
