# SPDX-License-Identifier: Apache-2.0
"""MSA features of a model that reads none (ESM and ISM variants): the sequence itself."""

from __future__ import annotations

import numpy as np

from protenix_ms.constants.restypes import RESTYPES
from protenix_ms.features.tokens import TokenTable
from protenix_ms.typing import Array, Shaped

_COUNTS = (
    "prot_pair_num_alignments", "prot_unpair_num_alignments",
    "rna_pair_num_alignments", "rna_unpair_num_alignments",
)  # fmt: skip


def no_msa_features(tokens: TokenTable) -> dict[str, Shaped[Array, "..."]]:
    """One MSA row, the residue types, without deletions (upstream `make_dummy_feature`)."""
    row = np.zeros((1, len(tokens)), np.float32)
    return {
        "msa": tokens.restype[None],
        "has_deletion": row,
        "deletion_value": row.copy(),
        "profile": np.eye(len(RESTYPES), dtype=np.float32)[tokens.restype],
        "deletion_mean": row[0].copy(),
        **{name: np.int32(0) for name in _COUNTS},
    }
