# SPDX-License-Identifier: Apache-2.0
"""The Pairformer stack."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from protenix_ms.model.attention import AttentionPairBias
from protenix_ms.model.dropout import PairMasks, RowDropout
from protenix_ms.model.layers import Transition
from protenix_ms.model.triangle import HEAD_WIDTH, TriangleAttention, TriangleMultiplication
from protenix_ms.runtime.compiled import CompiledBlocks
from protenix_ms.typing import Float

TRIANGLE_MULTIPLICATION_WIDTH, TRIANGLE_HEADS = 128, 4  # unless scaled with c_z (v2)
SINGLE_EXPANSION = 4


class PairformerBlock(nn.Cell):
    """Updates single and pair (one block of AF3 Algorithm 17).

    In the MSA module and in templates it has no single track.

    Args:
        c_z: pair channels.
        c_s: single channels, 0 for a pair track alone.
        n_heads: heads of the single attention.
        hidden_scale_up: triangle widths follow `c_z` instead of being fixed.
        expansion: of the pair transition.
    """

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
    ) -> Float[Tensor, "n n c_z"]:
        """Update the pair (lines 2-6); `masks` drop parts of the updates in training."""
        layers = (self.tri_mul_out, self.tri_mul_in, self.tri_att_start, self.tri_att_end)
        for layer, mask in zip(layers, masks or (None,) * 4):
            z = layer(z, mask=mask)
        return self.pair_transition(z)

    def single(
        self, s: Float[Tensor, "n c_s"], z: Float[Tensor, "n n c_z"],
    ) -> Float[Tensor, "n c_s"]:
        """Update the single from the updated pair (lines 7-8)."""
        bias = self.attention_pair_bias.pair_bias(z)
        s = self.attention_pair_bias(ops.expand_dims(s, 0), bias)[0]
        return self.single_transition(s)

    def construct(
        self, s: Float[Tensor, "n c_s"] | None, z: Float[Tensor, "n n c_z"],
        masks: PairMasks | None = None,
    ) -> tuple[Float[Tensor, "n c_s"] | None, Float[Tensor, "n n c_z"]]:
        """Return the updated single (None stays None) and pair."""
        z = self.pair(z, masks)
        return (self.single(s, z) if self.c_s else s), z


class PairformerStack(nn.Cell):
    """Updates single and pair by `n_blocks` blocks (AF3 Algorithm 17).

    Further arguments as of `PairformerBlock`.
    """

    def __init__(
        self, n_blocks: int, c_z: int, c_s: int = 0, n_heads: int = 16,
        hidden_scale_up: bool = False, expansion: int = 4,
    ) -> None:
        super().__init__()
        widths = (c_z, c_s, n_heads, hidden_scale_up, expansion)
        self.blocks = nn.CellList([PairformerBlock(*widths) for _ in range(n_blocks)])
        self.run_block = CompiledBlocks()

    def construct(
        self, s: Float[Tensor, "n c_s"] | None, z: Float[Tensor, "n n c_z"],
        dropout: RowDropout | None = None,
    ) -> tuple[Float[Tensor, "n c_s"] | None, Float[Tensor, "n n c_z"]]:
        """Return the updated single (None stays None) and pair.

        Args:
            dropout: of the pair, in training.
        """
        for block in self.blocks:
            s, z = self.run_block(block, s, z, dropout and dropout.pair(z))
        return s, z
