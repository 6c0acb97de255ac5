# SPDX-License-Identifier: Apache-2.0
"""Attention by the vendor's fused operator, adapted to our semantics. Never run on hardware.

`ops.flash_attention_score` adds the bias before it scales, takes no mask of keys by row, wants
channels in multiples of 16, limits the batch, and gives the bias no gradient at all. So: the bias
is divided by the scale; the mask is one more channel of q (ones) and k; channels are padded; groups
are cut in chunks; and the gradient of the bias is our own, by chunks of groups.
"""

from __future__ import annotations

import mindspore
from mindspore import Tensor, nn, ops

from protenix_ms.ops.einsum import einsum
from protenix_ms.ops.evoformer_attention.layout import (
    FP16_LOWEST,
    Groups,
    by_groups,
    grouped,
    low_bias,
    with_mask_channel,
)
from protenix_ms.runtime.rows import rows_per_chunk
from protenix_ms.typing import Bool, Float

MOST_GROUPS = 2048
MOST_HEADS = 256
CHANNELS = 16
MASKED_LOGIT = -3e4
"""Added to the scaled logits of a masked key; its channel stays within fp16."""


def _padded(x: Tensor, width: int) -> Tensor:
    missing = width - x.shape[-1]
    return ops.concat([x, ops.zeros((*x.shape[:-1], missing), x.dtype)], -1) if missing else x


def vendor_arguments(
    x: Groups, scale: float
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Convert our groups to the operator's inputs: q, k, v ``[g, s, h, d']`` and the shift."""
    q, k, v, bias, keep, _ = x
    if keep is not None:
        q, k, v = with_mask_channel(q, k, v, keep, max(MASKED_LOGIT / scale, FP16_LOWEST))
    wide = -(-q.shape[-1] // CHANNELS) * CHANNELS
    shift = None
    if bias is not None:
        shift = low_bias(bias.astype(mindspore.float32) / scale, q.dtype)
        if shift.shape[0] not in (1, q.shape[0]):
            shift = ops.repeat_interleave(shift, q.shape[0] // shift.shape[0], 0)
    return _padded(q, wide), _padded(k, wide), _padded(v, wide), shift


def _fused(x: Groups, scale: float) -> Tensor:
    """Call the vendor's operator for at most `MOST_GROUPS` groups at a time."""
    def attend(q, k, v, shift):
        return ops.flash_attention_score(
            q, k, v, q.shape[2], real_shift=shift, scalar_value=scale, input_layout="BSND")

    out = by_groups(attend, MOST_GROUPS, *vendor_arguments(x, scale))
    return out[..., : x[0].shape[-1]]


def bias_gradient(x: Groups, scale: float, out: Tensor, dout: Tensor) -> Tensor:
    """Compute the gradient of the bias in fp32, with the weights again by chunks of groups."""
    q, k, _, bias, _, _ = x
    shared = bias.shape[0]
    each = q.shape[0] // shared
    size = rows_per_chunk(each, 4 * q.shape[2] * q.shape[1] * k.shape[1])
    sums = []
    for s in range(shared):
        total = ops.zeros(bias.shape[1:], mindspore.float32)
        for i in range(s * each, (s + 1) * each, size):
            j = min(i + size, (s + 1) * each)
            part = tuple(y if y is None else y[i:j] for y in (*x[:3], None, *x[4:]))
            total = total + _logit_gradient(part, bias[s], scale, out[i:j], dout[i:j]).sum(0)
        sums.append(total)
    return ops.stack(sums)


def _logit_gradient(x: Groups, bias: Tensor, scale: float, out: Tensor, dout: Tensor) -> Tensor:
    """Compute the gradient of the logits of groups with one bias, ``[g, h, q, k]`` in fp32."""
    q, k, v, o, do = (y.astype(mindspore.float32) for y in (*x[:3], out, dout))
    logits = einsum("gqhd,gkhd->ghqk", q, k) * scale + bias.astype(mindspore.float32)
    keep, added = x[4], x[5]
    if keep is None:
        weights = ops.softmax(logits, -1)
    else:
        each_key = (-1, 1, 1, k.shape[1])
        weights = ops.softmax(logits + ops.reshape(added, each_key), -1)
        weights = weights * ops.reshape(keep.astype(mindspore.float32), each_key)
    delta = ops.transpose((o * do).sum(-1), (0, 2, 1))
    return weights * (einsum("gqhd,gkhd->ghqk", do, v) - ops.expand_dims(delta, -1))


class _WithBiasGradient(nn.Cell):
    """Pass the vendor's output on; backwards, add the gradient of the bias that it omits."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def construct(self, out, q, k, v, bias, keep, added):
        return out * 1

    def bprop(self, out, q, k, v, bias, keep, added, result, dout):
        masked = len(keep.shape) == 2
        x = (q, k, v, bias, keep if masked else None, added if masked else None)
        dbias = bias_gradient(x, self.scale, out, dout).astype(bias.dtype)
        zeros = ops.zeros_like
        return dout, zeros(q), zeros(k), zeros(v), dbias, zeros(keep), zeros(added)


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
    shape = q.shape
    q, k, v, bias, keep, added = grouped(q, k, v, pair_bias, mask)
    if bias is None:
        return ops.reshape(_fused((q, k, v, None, keep, added), scale), shape)
    out = _fused((q, k, v, ops.stop_gradient(bias), keep, added), scale)
    if keep is None:
        keep = added = ops.zeros((1,), mindspore.float32)
    return ops.reshape(_WithBiasGradient(scale)(out, q, k, v, bias, keep, added), shape)
