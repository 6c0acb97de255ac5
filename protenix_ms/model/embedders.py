# SPDX-License-Identifier: Apache-2.0
"""Input feature embedder."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from mindspore import Tensor, nn, ops
from ml_collections import ConfigDict

from protenix_ms.errors import InputError
from protenix_ms.model.atom_features import AtomFeatures
from protenix_ms.model.atom_transformer import AtomAttentionEncoder
from protenix_ms.model.layers import Linear
from protenix_ms.typing import Array, Float

TOKEN_FEATURES = ("restype", "profile", "deletion_mean")  # 32 + 32 + 1, in this order
ESM = "esm_token_embedding"


class InputFeatureEmbedder(nn.Cell):
    """Embeds the atoms of each token, its class and its alignment profile (AF3 Algorithm 2).

    Args:
        config: ``config.model.input_embedder``.
        esm: ``config.esm``; enabled, a projection of language-model embeddings is added.
    """

    def __init__(self, config: ConfigDict, esm: ConfigDict) -> None:
        super().__init__()
        c = config
        self.atom_attention_encoder = AtomAttentionEncoder(
            c.c_token, c.c_atom, c.c_atompair, c.n_blocks, c.n_heads
        )
        self.linear_esm = None
        if esm.enable:
            self.linear_esm = Linear(esm.embedding_dim, c.c_token + 65, init="zeros")

    def construct(
        self, features: Mapping[str, Array], atoms: AtomFeatures,
    ) -> Float[Tensor, "n c_s_inputs"]:
        """Compute the single representation of the inputs.

        Args:
            features: `restype` and `profile` ``[n, 32]``, `deletion_mean` ``[n]``, and for ESM
                variants `esm_token_embedding` ``[n, 2560]``.
            atoms: reference conformers.

        Raises:
            InputError: the job of an ESM variant has no embeddings.
        """
        a = self.atom_attention_encoder.embed(atoms)
        n = a.shape[0]
        columns = [np.asarray(features[k], np.float32).reshape(n, -1) for k in TOKEN_FEATURES]
        s_inputs = ops.concat([a, Tensor.from_numpy(np.concatenate(columns, -1))], -1)
        if self._uses_esm():
            s_inputs = s_inputs + self.linear_esm(self._embedding(features))
        return s_inputs

    def _uses_esm(self) -> bool:
        """Tell whether the projection changes anything.

        The constraint variant's configuration asks for ESM, but its file has no such projection:
        it stays zero, and embeddings would be computed for nothing.
        """
        return self.linear_esm is not None and bool(self.linear_esm.weight.asnumpy().any())

    def _embedding(self, features: Mapping[str, Array]) -> Float[Tensor, "n k"]:
        if ESM not in features:
            raise InputError(
                f"this model needs language-model embeddings of every token ('{ESM}', "
                f"{self.linear_esm.weight.shape[1]} channels) and the job has none",
                fix="give embeddings, or choose a model without esm or ism in its name",
            )
        return Tensor.from_numpy(np.ascontiguousarray(features[ESM], dtype=np.float32))
