# SPDX-License-Identifier: Apache-2.0
"""The Pairformer stack."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from protenix_ms.model.attention_pair_bias import AttentionPairBias
from protenix_ms.model.triangle import HEAD_WIDTH, TriangleAttention, TriangleMultiplication
from protenix_ms.nn import PairMasks, RowDropout, Transition
from protenix_ms.runtime.compiled import CompiledBlocks, compiling
from protenix_ms.runtime.padding import Padding, key_bias
from protenix_ms.typing import Float

TRIANGLE_MULTIPLICATION_WIDTH, TRIANGLE_HEADS = 128, 4  # unless scaled with c_z (v2)
SINGLE_EXPANSION = 4


class PairformerBlock(nn.Cell):
    """One block of AF3 Algorithm 17; without the single track in the MSA module and templates.

    Args:
        c_z: pair channels.
        c_s: single channels, 0 for a pair track alone.
        n_heads: heads of the single attention.
        hidden_scale_up: triangle widths follow `c_z` instead of being fixed.
        expansion: of the pair transition.
    """

    recompute_kind = "pairformer_block"

    def __init__(
        self, c_z: int, c_s: int = 0, n_heads: int = 16, hidden_scale_up: bool = False,
        expansion: int = 4,
    ) -> None:
        super().__init__()
        hidden = c_z if hidden_scale_up else TRIANGLE_MULTIPLICATION_WIDTH
        heads = c_z // HEAD_WIDTH if hidden_scale_up else TRIANGLE_HEADS
        self.tri_mul_out = TriangleMultiplication(c_z, hidden, outgoing=True)
        self.tri_mul_in = TriangleMultiplication(c_z, hidden, outgoing=False)
        self.tri_att_start = TriangleAttention(c_z, heads, starting=True)
        self.tri_att_end = TriangleAttention(c_z, heads, starting=False)
        self.pair_transition = Transition(c_z, expansion)
        self.c_s = c_s
        if c_s:
            self.attention_pair_bias = AttentionPairBias(c_s, c_z, n_heads)
            self.single_transition = Transition(c_s, SINGLE_EXPANSION)

    def pair(
        self, z: Float[Tensor, "n n c_z"], masks: PairMasks | None = None,
        keep: Float[Tensor, "n"] | None = None,
    ) -> Float[Tensor, "n n c_z"]:
        """The pair track; `masks` drop parts of its updates in training."""
        updates = (self.tri_mul_out, self.tri_mul_in, self.tri_att_start, self.tri_att_end)
        for i, update in enumerate(updates):
            z = update.added(z, keep, None if masks is None else masks[i])
        return self.pair_transition.added(z)

    def single(
        self, s: Float[Tensor, "n c_s"], z: Float[Tensor, "n n c_z"],
        keep: Float[Tensor, "n"] | None = None,
    ) -> Float[Tensor, "n c_s"]:
        """The single track, which reads the updated pair."""
        bias = self.attention_pair_bias.pair_bias(z)
        if keep is not None:
            bias = bias + key_bias(keep)
        s = s + self.attention_pair_bias(ops.expand_dims(s, 0), bias)[0]
        return self.single_transition.added(s)

    def construct(
        self,
        s: Float[Tensor, "n c_s"] | None,
        z: Float[Tensor, "n n c_z"],
        masks: PairMasks | None = None,
        keep: Float[Tensor, "n"] | None = None,
    ) -> tuple[Float[Tensor, "n c_s"] | None, Float[Tensor, "n n c_z"]]:
        """Updated single (None stays None) and pair; `keep` is 0 for tokens that are padding."""
        z = self.pair(z, masks, keep)
        return (self.single(s, z, keep) if self.c_s else s), z


class PairformerStack(nn.Cell):
    """AF3 Algorithm 17; arguments as of `PairformerBlock`."""

    def __init__(
        self, n_blocks: int, c_z: int, c_s: int = 0, n_heads: int = 16,
        hidden_scale_up: bool = False, expansion: int = 4,
    ) -> None:
        super().__init__()
        self.blocks = nn.CellList(
            [
                PairformerBlock(c_z, c_s, n_heads, hidden_scale_up, expansion)
                for _ in range(n_blocks)
            ]
        )
        self.run_block = CompiledBlocks()

    def construct(
        self,
        s: Float[Tensor, "n c_s"] | None,
        z: Float[Tensor, "n n c_z"],
        dropout: RowDropout | None = None,
    ) -> tuple[Float[Tensor, "n c_s"] | None, Float[Tensor, "n n c_z"]]:
        """Updated single (None stays None) and pair; with dropout of the pair in training."""
        padding = Padding.of(z.shape[0]) if compiling(self) else None
        keep = None
        if padding:
            s, z, keep = padding.pad(s, 0), padding.pad(z, 0, 1), padding.keep
        for block in self.blocks:
            s, z = self.run_block(block, s, z, dropout and dropout.pair(z), keep)
        return (padding.cut(s, 0), padding.cut(z, 0, 1)) if padding else (s, z)
