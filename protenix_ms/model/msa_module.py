# SPDX-License-Identifier: Apache-2.0
"""The MSA module: communication between alignment rows and the pair representation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from mindspore import Tensor, nn, ops
from ml_collections import ConfigDict

from protenix_ms.model.dropout import PairMasks, RowDropout
from protenix_ms.model.layers import LayerNorm, Linear, Transition
from protenix_ms.model.pairformer import PairformerBlock
from protenix_ms.model.residual import Residual
from protenix_ms.ops.einsum import einsum
from protenix_ms.ops.functional import gated, widened
from protenix_ms.ops.projection import PairProjection
from protenix_ms.runtime.draws import Draws
from protenix_ms.runtime.recompute import recomputed
from protenix_ms.runtime.rows import rowwise
from protenix_ms.typing import Array, Float, Int

OUTER_PRODUCT_WIDTH, HEADS, HEAD_WIDTH = 32, 8, 8
ROW_CLASSES = 32
EPSILON = 1e-3  # added to the number of rows

_bias_add = ops.BiasAdd()


class OuterProductMean(Residual):
    """Adds the mean over alignment rows of outer products to the pair (AF3 Algorithm 9)."""

    def __init__(self, c_m: int, c_z: int, c_hidden: int = OUTER_PRODUCT_WIDTH) -> None:
        super().__init__()
        self.layer_norm = LayerNorm(c_m)
        self.linear_1 = Linear(c_m, c_hidden)
        self.linear_2 = Linear(c_m, c_hidden)
        self.linear_out = Linear(c_hidden**2, c_z, bias=True, init="zeros")

    @staticmethod
    def scale(m: Float[Tensor, "m n c_m"]) -> float:
        """Return one over the number of rows. It divides the offset of `linear_out`, too."""
        return 1.0 / (len(m) + EPSILON)

    def update(
        self, z: Float[Tensor, "n n c_z"], m: Float[Tensor, "m n c_m"],
    ) -> Float[Tensor, "n n c_z"]:
        """Compute the update of the pair from alignment rows; `z` itself is not read."""
        n, scale = len(z), self.scale(m)
        m = self.layer_norm(m)
        outer = einsum("mic,mjd->ijcd", self.linear_1(m), self.linear_2(m))
        return self.linear_out(ops.reshape(outer, (n, n, -1))) * scale


class MSAPairWeightedAveraging(Residual):
    """Averages each alignment row over tokens, with weights from the pair (AF3 Algorithm 10)."""

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
        """Compute the weights of the average (lines 3 and 5), shared by all alignment rows."""
        project = PairProjection(z, self.layernorm_z)
        bias = project(self.linear_no_bias_z.weight, self.linear_no_bias_z.bf16)
        return ops.softmax(widened(bias), -1).astype(bias.dtype)

    def update(
        self, m: Float[Tensor, "m n c_m"], weights: Float[Tensor, "h n n"],
    ) -> Float[Tensor, "m n c_m"]:
        """Compute the update of alignment rows, by averages over tokens."""
        m = self.layernorm_m(m)
        v = ops.reshape(self.linear_no_bias_mv(m), (*m.shape[:2], HEADS, HEAD_WIDTH))
        o = ops.reshape(einsum("hij,mjhd->mihd", weights, v), (*m.shape[:2], -1))
        return self.linear_no_bias_out(gated(o, self.linear_no_bias_mg(m)))


class MSAStack(nn.Cell):
    """Updates alignment rows, which do not interact (lines 7-8 of AF3 Algorithm 8)."""

    def __init__(self, c_m: int, c_z: int) -> None:
        super().__init__()
        self.msa_pair_weighted_averaging = MSAPairWeightedAveraging(c_m, c_z)
        self.transition_m = Transition(c_m, 4)

    def construct(
        self, m: Float[Tensor, "m n c_m"], z: Float[Tensor, "n n c_z"],
        mask: Float[Tensor, "1 n c_m"] | None = None,
    ) -> Float[Tensor, "m n c_m"]:
        """Return the updated rows; `mask` drops parts of the average in training."""

        def rows(m: Float[Tensor, "r n c_m"], weights: Tensor) -> Float[Tensor, "r n c_m"]:
            return self.transition_m(self.msa_pair_weighted_averaging(m, weights, mask=mask))

        weights = self.msa_pair_weighted_averaging.weights(z)
        return rowwise(self, rows, m, shared=(weights,), cost=4 * m.size // len(m))


class Dropouts(NamedTuple):
    """Drops parts of row and pair updates in training."""

    rows: RowDropout
    pair: RowDropout

    def masks(
        self, block: MSABlock, m: Tensor, z: Tensor,
    ) -> tuple[Tensor | None, PairMasks | None]:
        """Draw the masks of one block's row update and pair updates, in its order of work."""
        rows = None if block.msa_stack is None else self.rows.rows(*m.shape[1:])
        return rows, self.pair.pair(z)


class MSABlock(nn.Cell):
    """Updates alignment rows and pair (one block of AF3 Algorithm 8).

    The last block has no row stack, since nothing reads its rows.
    """

    def __init__(self, c_m: int, c_z: int, hidden_scale_up: bool, last: bool) -> None:
        super().__init__()
        self.outer_product_mean_msa = OuterProductMean(c_m, c_z)
        self.msa_stack = None if last else MSAStack(c_m, c_z)
        self.pair_stack = PairformerBlock(c_z, hidden_scale_up=hidden_scale_up)

    def construct(
        self, m: Float[Tensor, "m n c_m"], z: Float[Tensor, "n n c_z"],
        row_mask: Float[Tensor, "1 n c_m"] | None = None, pair_masks: PairMasks | None = None,
    ) -> tuple[Float[Tensor, "m n c_m"], Float[Tensor, "n n c_z"]]:
        """Return the updated rows and pair; masks drop parts of the updates in training."""
        z = self.outer_product_mean_msa(z, m)
        if self.msa_stack is not None:
            m = self.msa_stack(m, z, row_mask)
        return m, self.pair_stack.pair(z, pair_masks)


def draw_rows(n_rows: int, draws: Draws, lower_bound: int, cutoff: int) -> Int[Array, "m"]:
    """Choose the alignment rows of a recycle: a random number of them, in random order.

    As upstream, every recycle draws anew, at inference too.
    """
    size = draws.integer("msa_rows", min(lower_bound, n_rows), n_rows + 1)
    rows = draws.permutation("msa_order", n_rows)[:size]
    return rows[:cutoff] if cutoff > 0 else rows


def row_features(features: Mapping[str, Array], rows: Int[Array, "m"]) -> Float[Array, "m n 34"]:
    """Compute residue class one-hot, whether a deletion precedes, and its scaled length."""
    classes = np.asarray(features["msa"])[rows]
    x = np.empty((*classes.shape, ROW_CLASSES + 2), np.float32)
    x[..., :ROW_CLASSES] = classes[..., None] == np.arange(ROW_CLASSES)
    x[..., ROW_CLASSES] = np.asarray(features["has_deletion"])[rows]
    x[..., ROW_CLASSES + 1] = np.asarray(features["deletion_value"])[rows]
    return x


class MSAModule(nn.Cell):
    """Updates the pair from an alignment (AF3 Algorithm 8).

    The result replaces the pair; the supplement adds it.

    Args:
        config: ``config.model.msa_module``; 0 blocks leave the pair as it is.
    """

    def __init__(self, config: ConfigDict) -> None:
        super().__init__()
        c = config
        self.lower_bound, self.cutoff = c.sample_lower_bound, c.sample_cutoff
        self.linear_no_bias_m = Linear(ROW_CLASSES + 2, c.c_m)
        self.linear_no_bias_s = Linear(c.c_s_inputs, c.c_m)
        self.blocks = nn.CellList([
            MSABlock(c.c_m, c.c_z, c.hidden_scale_up, last=i == c.n_blocks - 1)
            for i in range(c.n_blocks)
        ])

    def embed(
        self, features: Mapping[str, Array], s_inputs: Float[Tensor, "n c_s_inputs"],
        chosen: Int[Array, "m"],
    ) -> Float[Tensor, "m n c_m"]:
        """Embed the chosen rows (lines 2-4)."""
        n = len(s_inputs)
        of_token = ops.reshape(self.linear_no_bias_s(s_inputs), (-1,))

        def rows(chosen: Int[Array, "r"]) -> Float[Tensor, "r n c_m"]:
            x = Tensor.from_numpy(row_features(features, chosen))
            m = ops.reshape(self.linear_no_bias_m(x), (len(chosen), -1))
            return ops.reshape(_bias_add(m, of_token), (len(chosen), n, -1))

        return rowwise(None, rows, chosen, cost=n * (ROW_CLASSES + 2))

    def construct(
        self, features: Mapping[str, Array], z: Float[Tensor, "n n c_z"],
        s_inputs: Float[Tensor, "n c_s_inputs"], draws: Draws, dropouts: Dropouts | None = None,
    ) -> Float[Tensor, "n n c_z"]:
        """Return the updated pair.

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
