# SPDX-License-Identifier: Apache-2.0
"""Attention by our own Ascend ops, `csrc/ascend`. Bound here; never run on hardware.

The ops take tensors only: an absent bias or mask is one element of rank 1, and the factor of the
logits is always ``d**-0.5`` (another one is folded into q). So nothing but tensors has to pass
MindSpore's `Custom`, in PyNative and in graphs alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import mindspore
from mindspore import Tensor, ops
from mindspore.ops import CustomRegOp, DataType

from protenix_ms.ops.evoformer_attention.layout import by_groups, grouped, low_bias, tile_flags
from protenix_ms.typing import Bool, Float

INPUTS = ("query", "key", "value", "pair_bias", "mask", "tile_flag")
OUTPUTS = ("out", "lse")
GRAD_INPUTS = (*INPUTS, "dout", "lse", "delta")
GRAD_OUTPUTS = ("dq", "dk", "dv", "dbias")
FORWARD, BACKWARD = "aclnnEvoformerAttentionPtx", "aclnnEvoformerAttentionPtxGrad"
MAX_WIDTH = 64
LARGEST_LAUNCH = 2**36
"""Logits per launch: a longer one could meet the device's time limit."""

_FLOAT32 = ("mask", "lse", "delta", *GRAD_OUTPUTS)


def registration(name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> dict:
    """Describe an op to `ops.Custom`: names, and types for fp16 and for bf16."""

    def types(argument: str, low: tuple[str, str]) -> tuple[str, str]:
        if argument in _FLOAT32:
            return DataType.F32_Default
        return DataType.U8_Default if argument == "tile_flag" else low

    info = CustomRegOp(name)
    for i, argument in enumerate(inputs):
        info = info.input(i, argument, "required")
    for i, argument in enumerate(outputs):
        info = info.output(i, argument, "required")
    for low in (DataType.F16_Default, DataType.BF16_Default):
        info = info.dtype_format(*(types(a, low) for a in (*inputs, *outputs)))
    return info.target("Ascend").get_op_info()


def forward_shapes(q: Sequence[int], *others: Sequence[int]) -> tuple:
    """Infer the shapes of the output and of log-sum-exp, ``[g, h, q]``."""
    return q, [q[0], q[2], q[1]]


def forward_types(q: mindspore.Type, *others: mindspore.Type) -> tuple:
    """Infer the types of the outputs."""
    return q, mindspore.float32


def backward_shapes(
    q: Sequence[int], k: Sequence[int], v: Sequence[int], bias: Sequence[int],
    *others: Sequence[int],
) -> tuple:
    """Infer the shapes of the gradients; channels are padded to a multiple of 16."""
    wide = [-(-q[3] // 16) * 16]
    return [*q[:3], *wide], [*k[:3], *wide], [*v[:3], *wide], list(bias)


def backward_types(*inputs: mindspore.Type) -> tuple:
    """Infer the types of the gradients."""
    return (mindspore.float32,) * 4


def bprop(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor, flags: Tensor,
    out: tuple, dout: tuple,
) -> tuple:
    """Compute the gradients of every input; MindSpore prescribes the arguments."""
    o, do = out[0].astype(mindspore.float32), dout[0].astype(mindspore.float32)
    delta = ops.transpose((o * do).sum(-1), (0, 2, 1))
    dq, dk, dv, dbias = backward_op()(q, k, v, bias, mask, flags, dout[0], out[1], delta)
    width = q.shape[-1]
    scale = width**-0.5
    dq, dk = dq[..., :width] * scale, dk[..., :width] * scale
    dbias = ops.zeros_like(bias) if len(bias.shape) == 1 else dbias.astype(bias.dtype)
    return (
        dq.astype(q.dtype), dk.astype(k.dtype), dv[..., :width].astype(v.dtype), dbias,
        ops.zeros_like(mask), ops.zeros_like(flags),
    )


@cache
def forward_op() -> ops.Custom:
    """Make the forward op with its gradient; this compiles a call-back with g++."""
    info = registration("EvoformerAttentionPtx", INPUTS, OUTPUTS)
    return ops.Custom(FORWARD, forward_shapes, forward_types, "aot", bprop, info)


@cache
def backward_op() -> ops.Custom:
    """Make the backward op."""
    info = registration("EvoformerAttentionPtxGrad", GRAD_INPUTS, GRAD_OUTPUTS)
    return ops.Custom(BACKWARD, backward_shapes, backward_types, "aot", None, info)


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor, flags: Tensor) -> Tensor:
    """Make one launch, or several over groups where one would last too long.

    Groups that share a bias by parts stay together: few have so many logits.
    """
    groups, length, heads, _ = q.shape
    at_once = max(1, LARGEST_LAUNCH // (length * heads * k.shape[1]))
    if bias.shape[0] not in (1, groups):
        at_once = groups

    def launch(*inputs):
        return forward_op()(*inputs)[0]

    return by_groups(launch, at_once, q, k, v, bias, mask, flags)


def ascend_attention(
    q: Float[Tensor, "b r q h d"],
    k: Float[Tensor, "b r k h d"],
    v: Float[Tensor, "b r k h d"],
    pair_bias: Float[Tensor, "_ _ h q k"] | None,
    mask: Bool[Tensor, "_ r 1 1 k"] | Float[Tensor, "_ r 1 1 k"] | None,
    scale: float,
) -> Float[Tensor, "b r q h d"]:
    """See `evoformer_attention`; q is fp16 or bf16, the bias is cast to its type.

    The ops take a head dimension of 8, 16, ... `MAX_WIDTH`.
    """
    shape, low = q.shape, q.dtype
    factor = scale * shape[-1] ** 0.5
    q = q if abs(factor - 1) < 1e-6 else q * factor
    q, k, v, bias, keep, added = grouped(q, k, v, pair_bias, mask)
    bias = ops.zeros((1,), low) if bias is None else low_bias(bias, low)
    if keep is None:
        added, flags = ops.zeros((1,), mindspore.float32), ops.zeros((1,), mindspore.uint8)
    else:
        flags = tile_flags(keep)
    return ops.reshape(_attend(q, k, v, bias, added, flags), shape)
