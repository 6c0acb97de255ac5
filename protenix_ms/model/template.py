# SPDX-License-Identifier: Apache-2.0
"""Template embedder."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from mindspore import Tensor, nn, ops
from ml_collections import ConfigDict

from protenix_ms.model.dropout import RowDropout
from protenix_ms.model.layers import LayerNorm, Linear
from protenix_ms.model.pairformer import PairformerStack
from protenix_ms.runtime.rows import rowwise
from protenix_ms.typing import Array, Float

DISTANCE_BINS, CLASSES = 39, 32
CHANNELS = DISTANCE_BINS + 1 + 2 * CLASSES + 3 + 1
EXPANSION = 2
EPSILON = 1e-7  # added to the number of templates

_ARRAYS = (
    "template_aatype", "template_distogram", "template_pseudo_beta_mask", "template_unit_vector",
    "template_backbone_frame_mask",
)


def distinct_templates(features: Mapping[str, Array], each: bool = False) -> list[tuple[int, int]]:
    """List the templates that differ as (index, how often it occurs); with `each`, all once.

    Upstream pads to four slots, and embeds the same padding several times. Here equal templates
    are embedded once.
    """
    count: dict[int, int] = {}
    for t in range(len(features["template_aatype"])):
        same = (first for first in count if not each and all(
            np.array_equal(features[k][t], features[k][first]) for k in _ARRAYS))
        first = next(same, t)
        count[first] = count.get(first, 0) + 1
    return list(count.items())


def template_pairs(
    features: Mapping[str, Array], template: int, rows: slice,
) -> Float[Array, "r n 108"]:
    """Compute pair features of one template for some rows.

    In upstream's order: distance bins, pseudo-beta mask, class of the column token, then of the
    row token, unit vector, backbone mask. Geometry is kept within a chain only; classes are not
    masked.
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
    """Embeds templates into the pair (AF3 Algorithm 16).

    Args:
        config: ``config.model.template_embedder``; with 0 blocks the module is skipped, although
            the files hold its projections.
    """

    def __init__(self, config: ConfigDict) -> None:
        super().__init__()
        c, c_z = config.c, config.c_z
        self.linear_no_bias_z = Linear(c_z, c)
        self.layernorm_z = LayerNorm(c_z)
        self.linear_no_bias_a = Linear(CHANNELS, c)
        self.pairformer_stack = PairformerStack(
            config.n_blocks, c, hidden_scale_up=config.hidden_scale_up, expansion=EXPANSION)
        self.layernorm_v = LayerNorm(c)
        self.linear_no_bias_u = Linear(c, c_z)

    @property
    def n_blocks(self) -> int:
        return len(self.pairformer_stack.blocks)

    def _embed(
        self, features: Mapping[str, Array], template: int, z: Float[Tensor, "n n c"],
        dropout: RowDropout | None,
    ) -> Float[Tensor, "n n c"]:
        """Embed one template, on the normalised and projected pair."""

        def add_template(z: Float[Tensor, "r n c"], rows: slice) -> Float[Tensor, "r n c"]:
            pairs = Tensor.from_numpy(template_pairs(features, template, rows))
            return z + self.linear_no_bias_a(pairs)

        n = len(z)
        v = rowwise(None, add_template, z, range(n), cost=n * CHANNELS)
        return self.layernorm_v(self.pairformer_stack(None, v, dropout)[1])

    def construct(
        self, features: Mapping[str, Array], z: Float[Tensor, "n n c_z"],
        dropout: RowDropout | None = None,
    ) -> Float[Tensor, "n n c_z"]:
        """Compute the update of the pair.

        Args:
            features: `template_aatype` ``[t, n]``, `template_distogram` ``[t, n, n, 39]``,
                `template_pseudo_beta_mask` and `template_backbone_frame_mask` ``[t, n, n]``,
                `template_unit_vector` ``[t, n, n, 3]``, and `asym_id` ``[n]``.
            z: pair.
            dropout: in training, where equal templates are dropped out differently.
        """
        n, _, c_z = z.shape
        z = rowwise(None, lambda z: self.linear_no_bias_z(self.layernorm_z(z)), z, cost=n * c_z)
        total, slots = None, 0
        for template, count in distinct_templates(features, dropout is not None):
            v = self._embed(features, template, z, dropout)
            v = v * float(count) if count > 1 else v
            total, slots = (v if total is None else total + v), slots + count
        mean = 1.0 / (EPSILON + slots)
        return rowwise(None, lambda u: self.linear_no_bias_u(ops.relu(u * mean)), total,
                       cost=total.size // n)
