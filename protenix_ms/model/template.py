# SPDX-License-Identifier: Apache-2.0
"""Template embedder."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from mindspore import Tensor, nn, ops

from protenix_ms.model.pairformer import PairformerStack
from protenix_ms.nn import LayerNorm, Linear, RowDropout
from protenix_ms.runtime.chunk import map_rows
from protenix_ms.typing import Array, Float

DISTANCE_BINS, CLASSES = 39, 32
CHANNELS = DISTANCE_BINS + 1 + 2 * CLASSES + 3 + 1
EXPANSION = 2
EPSILON = 1e-7  # added to the number of templates

_ARRAYS = (
    "template_aatype", "template_distogram", "template_pseudo_beta_mask", "template_unit_vector",
    "template_backbone_frame_mask",
)


def distinct_templates(
    features: Mapping[str, Array], each: bool = False
) -> list[tuple[int, int]]:
    """Templates that differ, as (index, how often it occurs); with `each`, all of them once.

    There are always four slots, and without templates three of them are the same padding
    (trap H16): what is equal is embedded once.
    """
    if each:
        return [(t, 1) for t in range(len(features["template_aatype"]))]
    found: list[tuple[int, int]] = []
    for t in range(len(features["template_aatype"])):
        for place, (first, count) in enumerate(found):
            if all(np.array_equal(features[k][t], features[k][first]) for k in _ARRAYS):
                found[place] = (first, count + 1)
                break
        else:
            found.append((t, 1))
    return found


def template_pairs(
    features: Mapping[str, Array], template: int, rows: slice
) -> Float[Array, "r n 108"]:
    """Pair features of one template for some rows.

    In upstream's order: distance bins, pseudo-beta mask, class of the column token, class of the
    row token (trap H14), unit vector, backbone mask. Geometry is kept within a chain only;
    classes are not masked.
    """
    names = {k: np.asarray(features[k])[template] for k in _ARRAYS}
    chain = np.asarray(features["asym_id"])
    same_chain = (chain[rows, None] == chain[None]).astype(np.float32)[..., None]
    one_hot = (names["template_aatype"][:, None] == np.arange(CLASSES)).astype(np.float32)
    n, n_rows = len(chain), len(same_chain)
    parts = [
        names["template_distogram"][rows] * same_chain,
        names["template_pseudo_beta_mask"][rows][..., None] * same_chain,
        np.broadcast_to(one_hot[None], (n_rows, n, CLASSES)),
        np.broadcast_to(one_hot[rows, None], (n_rows, n, CLASSES)),
        names["template_unit_vector"][rows] * same_chain,
        names["template_backbone_frame_mask"][rows][..., None] * same_chain,
    ]
    return np.concatenate(parts, -1, dtype=np.float32)


class TemplateEmbedder(nn.Cell):
    """AF3 Algorithm 16.

    Args:
        n_blocks: depth; with 0 the module is skipped, although the files hold its projections.
        c, c_z: inner and pair channels.
        hidden_scale_up: as of `PairformerBlock`.
    """

    def __init__(self, n_blocks: int, c: int, c_z: int, hidden_scale_up: bool = False) -> None:
        super().__init__()
        self.linear_no_bias_z = Linear(c_z, c)
        self.layernorm_z = LayerNorm(c_z)
        self.linear_no_bias_a = Linear(CHANNELS, c)
        self.pairformer_stack = PairformerStack(
            n_blocks, c, hidden_scale_up=hidden_scale_up, expansion=EXPANSION
        )
        self.layernorm_v = LayerNorm(c)
        self.linear_no_bias_u = Linear(c, c_z)

    @property
    def n_blocks(self) -> int:
        return len(self.pairformer_stack.blocks)

    def _embed(
        self,
        features: Mapping[str, Array],
        template: int,
        z: Float[Tensor, "n n c"],
        dropout: RowDropout | None,
    ) -> Float[Tensor, "n n c"]:
        """One template, on the normalised and projected pair."""

        def rows(part: slice) -> Tensor:
            pairs = Tensor.from_numpy(template_pairs(features, template, part))
            return z[part] + self.linear_no_bias_a(pairs)

        n = z.shape[0]
        _, v = self.pairformer_stack(None, map_rows(rows, n, n * CHANNELS), dropout)
        return self.layernorm_v(v)

    def construct(
        self,
        features: Mapping[str, Array],
        z: Float[Tensor, "n n c_z"],
        dropout: RowDropout | None = None,
    ) -> Float[Tensor, "n n c_z"]:
        """The update of the pair.

        Args:
            features: `template_aatype` ``[t, n]``, `template_distogram` ``[t, n, n, 39]``,
                `template_pseudo_beta_mask` and `template_backbone_frame_mask` ``[t, n, n]``,
                `template_unit_vector` ``[t, n, n, 3]``, and `asym_id` ``[n]``.
            z: pair.
            dropout: in training, where equal templates are dropped out differently.
        """
        z = self._by_rows(lambda x: self.linear_no_bias_z(self.layernorm_z(x)), z)
        total, slots = None, 0
        for template, count in distinct_templates(features, dropout is not None):
            v = self._embed(features, template, z, dropout)
            v = v * float(count) if count > 1 else v
            total, slots = (v if total is None else total + v), slots + count
        mean = 1.0 / (EPSILON + slots)
        return self._by_rows(lambda x: self.linear_no_bias_u(ops.relu(x * mean)), total)

    @staticmethod
    def _by_rows(layer: Callable[[Tensor], Tensor], x: Float[Tensor, "n n k"]) -> Tensor:
        return map_rows(lambda part: layer(x[part]), len(x), x.size // len(x))
