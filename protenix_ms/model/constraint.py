# SPDX-License-Identifier: Apache-2.0
"""Constraint embedder: a user's knowledge added to the pair (Protenix only, no AF3 algorithm)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from mindspore import Tensor, nn, ops
from ml_collections import ConfigDict

from protenix_ms.model.layers import LayerNorm, Linear, empty_parameter
from protenix_ms.ops.einsum import einsum
from protenix_ms.ops.evoformer_attention import evoformer_attention
from protenix_ms.typing import Array, Float


class _SelfAttention(nn.Cell):
    """PyTorch's `MultiheadAttention`, whose projections are one packed parameter."""

    def __init__(self, c: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.in_proj_weight = empty_parameter((3 * c, c))
        self.in_proj_bias = empty_parameter((3 * c,))
        self.out_proj = Linear(c, c, bias=True, init="zeros")

    def construct(self, x: Float[Tensor, "l c"]) -> Float[Tensor, "l c"]:
        length, c = x.shape
        packed = ops.bias_add(einsum("li,oi->lo", x, self.in_proj_weight), self.in_proj_bias)
        shape = (1, 1, length, self.n_heads, -1)
        q, k, v = (
            ops.reshape(packed[:, i * c : (i + 1) * c], shape) for i in range(3)
        )
        return self.out_proj(ops.reshape(evoformer_attention(q, k, v), (length, c)))


class _EncoderLayer(nn.Cell):
    """PyTorch's `TransformerEncoderLayer`: ReLU, norms after the residual sums."""

    def __init__(self, c: int, n_heads: int) -> None:
        super().__init__()
        self.self_attn = _SelfAttention(c, n_heads)
        self.linear1 = Linear(c, 4 * c, bias=True, init="zeros")
        self.linear2 = Linear(4 * c, c, bias=True, init="zeros")
        self.norm1 = LayerNorm(c)
        self.norm2 = LayerNorm(c)

    def construct(self, x: Float[Tensor, "l c"]) -> Float[Tensor, "l c"]:
        x = self.norm1(x + self.self_attn(x))
        return self.norm2(x + self.linear2(ops.relu(self.linear1(x))))


class _Encoder(nn.Cell):
    def __init__(self, c: int, n_heads: int, n_layers: int) -> None:
        super().__init__()
        self.layers = nn.CellList([_EncoderLayer(c, n_heads) for _ in range(n_layers)])

    def construct(self, x: Float[Tensor, "l c"]) -> Float[Tensor, "l c"]:
        for layer in self.layers:
            x = layer(x)
        return x


class SubstructureEmbedder(nn.Cell):
    """Embeds substructures by a transformer over all pairs of tokens as one sequence.

    Attention among n^2 elements suits small jobs only. In a job without substructures all
    elements are alike, and so are their results: one element is computed, at any size.
    """

    def __init__(
        self, n_classes: int, c_z: int, hidden_dim: int, n_layers: int, n_heads: int,
    ) -> None:
        super().__init__()
        self.input_proj = Linear(n_classes, hidden_dim, init="zeros")
        self.transformer = _Encoder(hidden_dim, n_heads, n_layers)
        self.output_proj = Linear(hidden_dim, c_z, init="zeros")

    def construct(self, x: Float[Array, "n n k"]) -> Float[Tensor, "_ _ c_z"]:
        """Embed to ``[n, n, c_z]``, or to ``[1, 1, c_z]`` if all pairs are the same."""
        same = bool((x == x[:1, :1]).all())
        x = np.ascontiguousarray(x[:1, :1] if same else x, dtype=np.float32)
        y = self.input_proj(Tensor.from_numpy(x.reshape(-1, x.shape[-1])))
        return ops.reshape(self.output_proj(self.transformer(y)), (*x.shape[:2], -1))


class ConstraintEmbedder(nn.Cell):
    """Sums the embeddings that a variant has; most variants have none.

    Args:
        config: ``config.model.constraint_embedder``.
    """

    def __init__(self, config: ConfigDict) -> None:
        super().__init__()
        c_z, kinds = config.c_constraint_z, ("pocket", "contact", "contact_atom")
        self.kinds = tuple(kind for kind in kinds if config[f"{kind}_embedder"].enable)
        for kind in self.kinds:
            channels = config[f"{kind}_embedder"].c_z_input
            setattr(self, f"{kind}_z_embedder", Linear(channels, c_z, init="zeros"))
        c = config.substructure_embedder
        self.has_substructure = c.enable
        if c.enable:
            self.substructure_z_embedder = SubstructureEmbedder(
                c.n_classes, c_z, c.hidden_dim, c.n_layers, c.n_heads)

    def construct(
        self, features: Mapping[str, Float[Array, "n n _"]],
    ) -> Float[Tensor, "n n c_z"] | None:
        """Compute the update of the pair; None for a variant without constraints.

        Args:
            features: per kind ``[n, n, channels]``: pocket distance, contact limits (min, max),
                the same between atoms, substructure classes. Distances in angstrom.
        """
        total = None
        for kind in self.kinds:
            x = np.ascontiguousarray(features[kind], dtype=np.float32)
            z = getattr(self, f"{kind}_z_embedder")(Tensor.from_numpy(x))
            total = z if total is None else total + z
        if self.has_substructure:
            z = self.substructure_z_embedder(np.asarray(features["substructure"]))
            if total is None:
                n = len(features["substructure"])
                return ops.broadcast_to(z, (n, n, z.shape[-1]))
            total = total + z
        return total
