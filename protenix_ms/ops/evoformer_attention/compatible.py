# SPDX-License-Identifier: Apache-2.0
"""Offer our attention under the signatures that other projects call."""

from __future__ import annotations

import mindspore
from mindspore import Tensor, ops

from protenix_ms.errors import ConfigError
from protenix_ms.ops.evoformer_attention import evoformer_attention


def DS4Sci_EvoformerAttention(
    Q: Tensor, K: Tensor, V: Tensor, biases: list[Tensor | None]
) -> Tensor:
    """Compute ``softmax(Q K^T / sqrt(d) + bias1 + bias2) V``, as DeepSpeed's function does.

    Args:
        Q, K, V: ``[b, rows, tokens, h, d]``.
        biases: up to two, each of which may be None: bias1 ``[b, rows, 1, 1, tokens]``, an additive
            mask that takes a key away at -1e8 and below and else counts as 0, and bias2
            ``[b, 1, h, tokens, tokens]``.

    Raises:
        ConfigError: for a bias of another shape.
    """
    mask, pair_bias = None, None
    for bias in biases:
        if bias is None:
            continue
        if bias.ndim == 5 and bias.shape[2] == 1 and bias.shape[3] == 1:
            mask = bias > -1e8
        elif bias.ndim == 5 and bias.shape[1] == 1:
            pair_bias = bias
        else:
            raise ConfigError(
                f"a bias of shape {tuple(bias.shape)}", where="DS4Sci_EvoformerAttention",
                fix="give [b, rows, 1, 1, tokens] or [b, 1, h, tokens, tokens]",
            )
    return evoformer_attention(Q, K, V, pair_bias, mask)


def _to_bsnd(x: Tensor, heads: int, layout: str) -> Tensor:
    if layout == "BNSD":
        return ops.transpose(x, (0, 2, 1, 3))
    if layout == "SBH":
        x = ops.transpose(x, (1, 0, 2))
    return x if layout == "BSND" else ops.reshape(x, (*x.shape[:2], heads, -1))


def _from_bsnd(x: Tensor, layout: str) -> Tensor:
    if layout == "BNSD":
        return ops.transpose(x, (0, 2, 1, 3))
    if layout == "BSND":
        return x
    x = ops.reshape(x, (*x.shape[:2], -1))
    return ops.transpose(x, (1, 0, 2)) if layout == "SBH" else x


def evo_attention(
    query: Tensor, key: Tensor, value: Tensor, head_num: int, bias: Tensor | None = None,
    attn_mask: Tensor | None = None, scale_value: float = 1.0, input_layout: str = "BSND",
) -> Tensor:
    """Compute attention as MindScience's op does, but add the bias after the scale, not before.

    Args:
        query, key, value: in `input_layout`: BSND, BNSD, BSH or SBH.
        head_num: heads.
        bias: ``[1, n, s, s]``.
        attn_mask: ``[b, 1, 1, s]``, 1 takes a key away.
        scale_value: factor of the logits.
        input_layout: see `query`.

    Raises:
        ConfigError: for an unknown layout.
    """
    if input_layout not in ("BSND", "BNSD", "BSH", "SBH"):
        raise ConfigError(
            f"unknown layout '{input_layout}'", where="evo_attention",
            fix="use BSND, BNSD, BSH or SBH",
        )
    q, k, v = (
        ops.expand_dims(_to_bsnd(x, head_num, input_layout), 0) for x in (query, key, value)
    )
    mask = None
    if attn_mask is not None:
        kept = attn_mask.astype(mindspore.int32) == 0
        mask = ops.reshape(kept, (1, kept.shape[0], 1, 1, kept.shape[-1]))
    pair_bias = None if bias is None else ops.expand_dims(bias, 1)
    out = evoformer_attention(q, k, v, pair_bias, mask, scale_value)
    return _from_bsnd(out[0], input_layout)
