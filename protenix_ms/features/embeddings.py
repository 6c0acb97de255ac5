# SPDX-License-Identifier: Apache-2.0
"""The feature that carries a language model's vectors to the tokens."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from protenix_ms.features.tokens import TokenTable
from protenix_ms.job import Job, Polymer
from protenix_ms.typing import Array, Float

NAME = "esm_token_embedding"


def embedding_features(
    job: Job, tokens: TokenTable, vectors: Mapping[str, Float[Array, "_ k"]], width: int
) -> dict[str, Float[Array, "n k"]]:
    """Give every token of a protein the vector of its residue; others have zeros.

    All atoms of a modified residue have the vector of the letter in the sequence.

    Args:
        vectors: by sequence, one row for each residue.
        width: channels.
    """
    feature = np.zeros((len(tokens), width), np.float32)
    for number, entity in enumerate(job.entities):
        if isinstance(entity, Polymer) and entity.kind == "protein":
            mine = tokens.entity_id == number
            feature[mine] = vectors[entity.sequence][tokens.residue_index[mine] - 1]
    return {NAME: feature}
