# SPDX-License-Identifier: Apache-2.0
"""The MSA module: communication between alignment rows and the pair representation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from mindspore import Tensor, nn, ops

from protenix_ms.model.pairformer import PairformerBlock
from protenix_ms.nn import LayerNorm, Linear, PairMasks, RowDropout, Transition
from protenix_ms.ops.einsum import einsum
from protenix_ms.ops.gating import gated
from protenix_ms.ops.low_precision import widened
from protenix_ms.ops.pair_layers import whole_layers
from protenix_ms.runtime.chunk import map_rows
from protenix_ms.runtime.draws import Draws
from protenix_ms.runtime.recompute import recomputed, recomputed_piece
from protenix_ms.typing import Array, Float, Int

OUTER_PRODUCT_WIDTH, HEADS, HEAD_WIDTH = 32, 8, 8
ROW_CLASSES = 32
EPSILON = 1e-3  # added to the number of rows

_bias_add = ops.BiasAdd()


class OuterProductMean(nn.Cell):
    """AF3 Algorithm 9: mean over rows of outer products, projected to the pair."""

    def __init__(self, c_m: int, c_z: int, c_hidden: int = OUTER_PRODUCT_WIDTH) -> None:
        super().__init__()
        self.layer_norm = LayerNorm(c_m)
        self.linear_1 = Linear(c_m, c_hidden)
        self.linear_2 = Linear(c_m, c_hidden)
        self.linear_out = Linear(c_hidden**2, c_z, bias=True, init="zeros")

    def construct(self, m: Float[Tensor, "m n c_m"]) -> Float[Tensor, "n n c_z"]:
        """The update of the pair. Outer products exist for some rows of the pair at a time.

        Each channel of one side is a product of its own, and the channels are joined: one large
        product would need a permute, which takes as long as both products.
        """
        n_rows, n, c_m = m.shape
        flat = ops.reshape(self.layer_norm(m), (-1, c_m))
        a = ops.reshape(self.linear_1.channel_first(flat), (-1, n_rows, n))
        b = ops.reshape(self.linear_2(flat), (n_rows, -1))
        width = a.shape[0]

        def product(a: Float[Tensor, "w m r"], b: Float[Tensor, "m _"]) -> Float[Tensor, "r n c_z"]:
            by_channel = [einsum("mi,mj->ij", a[c], b) for c in range(width)]
            outer = ops.concat([ops.reshape(x, (-1, n, width)) for x in by_channel], -1)
            return self.linear_out(outer)

        def rows(part: slice) -> Tensor:
            modules = (self.linear_out,)
            return recomputed_piece("outer_product_mean", modules, product, a[:, :, part], b)

        return map_rows(rows, n, n * width**2) * (1.0 / (n_rows + EPSILON))

    def added(
        self, m: Float[Tensor, "m n c_m"], z: Float[Tensor, "n n c_z"]
    ) -> Float[Tensor, "n n c_z"]:
        """`z` plus the update from `m`."""
        kernels = whole_layers(z)
        if kernels is None:
            return z + self(m)
        n_rows, n, _ = m.shape
        flat = self.layer_norm(m)
        right = kernels.projection(m, self.layer_norm, self.linear_2.weight)
        return kernels.outer_product_mean(
            z, self.linear_1(flat), ops.reshape(right, (-1, n_rows, n)), self.linear_out,
            1.0 / (n_rows + EPSILON))


class MSAPairWeightedAveraging(nn.Cell):
    """AF3 Algorithm 10: each row averages over tokens with weights from the pair alone.

    Values and gate come channel-first out of the matrix product, so nothing is permuted.
    """

    def __init__(self, c_m: int, c_z: int) -> None:
        super().__init__()
        width = HEADS * HEAD_WIDTH
        self.layernorm_m = LayerNorm(c_m)
        self.linear_no_bias_mv = Linear(c_m, width)
        self.layernorm_z = LayerNorm(c_z)
        self.linear_no_bias_z = Linear(c_z, HEADS)
        self.linear_no_bias_mg = Linear(c_m, width, init="zeros")
        self.linear_no_bias_out = Linear(width, c_m, init="zeros")

    def weights(self, z: Float[Tensor, "n n c_z"]) -> Float[Tensor, "h n n"]:
        """Weights of the average, shared by all alignment rows."""
        n, _, c_z = z.shape
        kernels = whole_layers(z)
        if kernels is not None:
            b = kernels.projection(z, self.layernorm_z, self.linear_no_bias_z.weight)
        else:
            b = self.linear_no_bias_z.channel_first(ops.reshape(self.layernorm_z(z), (-1, c_z)))
        return ops.softmax(widened(ops.reshape(b, (HEADS, n, n))), -1).astype(b.dtype)

    def construct(
        self, m: Float[Tensor, "m n c_m"], weights: Float[Tensor, "h n n"]
    ) -> Float[Tensor, "m n c_m"]:
        """The update of some alignment rows."""
        n = m.shape[1]
        x = ops.reshape(self.layernorm_m(m), (-1, m.shape[-1]))
        v = ops.reshape(self.linear_no_bias_mv.channel_first(x), (HEADS, -1, n))
        o = ops.reshape(einsum("hrj,hij->hri", v, weights), (HEADS * HEAD_WIDTH, -1))
        o = gated(o, self.linear_no_bias_mg.channel_first(x))
        return ops.reshape(self.linear_no_bias_out.from_channel_first(o), m.shape)


class MSAStack(nn.Cell):
    """Lines 7-8 of AF3 Algorithm 8, by chunks of alignment rows, which do not
    interact, so that the order of updates is free (trap H24)."""

    def __init__(self, c_m: int, c_z: int) -> None:
        super().__init__()
        self.msa_pair_weighted_averaging = MSAPairWeightedAveraging(c_m, c_z)
        self.transition_m = Transition(c_m, 4)

    def construct(
        self,
        m: Float[Tensor, "m n c_m"],
        z: Float[Tensor, "n n c_z"],
        mask: Float[Tensor, "1 n c_m"] | None = None,
    ) -> Float[Tensor, "m n c_m"]:
        """Updated alignment rows; `mask` drops parts of the average in training."""
        weights = self.msa_pair_weighted_averaging.weights(z)

        def rows(part: slice) -> Tensor:
            change = self.msa_pair_weighted_averaging(m[part], weights)
            x = m[part] + (change if mask is None else change * mask)
            return self.transition_m.added(x)

        return map_rows(rows, m.shape[0], 4 * m.shape[1] * m.shape[2])


class Dropouts(NamedTuple):
    """Dropout of rows and of the pair in training."""

    rows: RowDropout
    pair: RowDropout

    def masks(
        self, block: MSABlock, m: Tensor, z: Tensor
    ) -> tuple[Tensor | None, PairMasks | None]:
        """Masks of one block's row update and pair updates, drawn in its order of work."""
        rows = None if block.msa_stack is None else self.rows.rows(*m.shape[1:])
        return rows, self.pair.pair(z)


class MSABlock(nn.Cell):
    """One block of AF3 Algorithm 8. The last has no row stack, since nothing reads its rows."""

    recompute_kind = "msa_block"

    def __init__(self, c_m: int, c_z: int, hidden_scale_up: bool, last: bool) -> None:
        super().__init__()
        self.outer_product_mean_msa = OuterProductMean(c_m, c_z)
        self.msa_stack = None if last else MSAStack(c_m, c_z)
        self.pair_stack = PairformerBlock(c_z, hidden_scale_up=hidden_scale_up)

    def construct(
        self,
        m: Float[Tensor, "m n c_m"],
        z: Float[Tensor, "n n c_z"],
        row_mask: Float[Tensor, "1 n c_m"] | None = None,
        pair_masks: PairMasks | None = None,
    ) -> tuple[Float[Tensor, "m n c_m"], Float[Tensor, "n n c_z"]]:
        """Updated rows and pair; masks drop parts of their updates in training."""
        z = self.outer_product_mean_msa.added(m, z)
        if self.msa_stack is not None:
            m = self.msa_stack(m, z, row_mask)
        return m, self.pair_stack.pair(z, pair_masks)


def draw_rows(n_rows: int, draws: Draws, lower_bound: int, cutoff: int) -> Int[Array, "m"]:
    """Which alignment rows this cycle sees: a random number of them, in random order.

    Drawn anew in every recycle, at inference too (trap H2).
    """
    size = draws.integer("msa_rows", min(lower_bound, n_rows), n_rows + 1)
    rows = draws.permutation("msa_order", n_rows)[:size]
    return rows[:cutoff] if cutoff > 0 else rows


def row_features(
    features: Mapping[str, Array], rows: Int[Array, "m"]
) -> Float[Array, "m n 34"]:
    """Residue class one-hot, whether a deletion precedes, its scaled length."""
    classes = np.asarray(features["msa"])[rows]
    x = np.empty((*classes.shape, ROW_CLASSES + 2), np.float32)
    x[..., :ROW_CLASSES] = classes[..., None] == np.arange(ROW_CLASSES)
    x[..., ROW_CLASSES] = np.asarray(features["has_deletion"])[rows]
    x[..., ROW_CLASSES + 1] = np.asarray(features["deletion_value"])[rows]
    return x


class MSAModule(nn.Cell):
    """AF3 Algorithm 8; the result replaces the pair (the supplement adds it).

    Args:
        n_blocks: depth; 0 leaves the pair as it is.
        c_m, c_z, c_s_inputs: channels of rows, pair and inputs.
        hidden_scale_up: as of `PairformerBlock`.
        lower_bound, cutoff: smallest number of rows to draw, most to keep.
    """

    def __init__(
        self, n_blocks: int, c_m: int, c_z: int, c_s_inputs: int, hidden_scale_up: bool = False,
        lower_bound: int = 1, cutoff: int = 16384,
    ) -> None:
        super().__init__()
        self.lower_bound, self.cutoff = lower_bound, cutoff
        self.linear_no_bias_m = Linear(ROW_CLASSES + 2, c_m)
        self.linear_no_bias_s = Linear(c_s_inputs, c_m)
        self.blocks = nn.CellList(
            [
                MSABlock(c_m, c_z, hidden_scale_up, last=i == n_blocks - 1)
                for i in range(n_blocks)
            ]
        )

    def embed(
        self,
        features: Mapping[str, Array],
        s_inputs: Float[Tensor, "n c_s_inputs"],
        chosen: Int[Array, "m"],
    ) -> Float[Tensor, "m n c_m"]:
        """Lines 2-4 for the chosen rows."""
        n = s_inputs.shape[0]
        shared = ops.reshape(self.linear_no_bias_s(s_inputs), (-1,))

        def rows(part: slice) -> Tensor:
            x = Tensor.from_numpy(row_features(features, chosen[part]))
            m = ops.reshape(self.linear_no_bias_m(x), (x.shape[0], -1))
            return ops.reshape(_bias_add(m, shared), (x.shape[0], n, -1))

        return map_rows(rows, len(chosen), n * (ROW_CLASSES + 2))

    def construct(
        self,
        features: Mapping[str, Array],
        z: Float[Tensor, "n n c_z"],
        s_inputs: Float[Tensor, "n c_s_inputs"],
        draws: Draws,
        dropouts: Dropouts | None = None,
    ) -> Float[Tensor, "n n c_z"]:
        """The pair after the module.

        Args:
            features: `msa`, `has_deletion`, `deletion_value`, each ``[rows, n]``; without `msa`
                the pair stays as it is.
            z: pair.
            s_inputs: from the input embedder.
            draws: sites `msa_rows` and `msa_order`.
            dropouts: in training.
        """
        if len(self.blocks) == 0 or np.ndim(features.get("msa", 0)) < 2:
            return z
        chosen = draw_rows(len(features["msa"]), draws, self.lower_bound, self.cutoff)
        m = self.embed(features, s_inputs, chosen)
        for block in self.blocks:
            masks = () if dropouts is None else dropouts.masks(block, m, z)
            m, z = recomputed(block, m, z, *masks)
        return z
