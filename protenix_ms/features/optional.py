# SPDX-License-Identifier: Apache-2.0
"""Features of what a job may lack: templates, distance constraints, a language model's vectors.

Features that take space per pair of tokens are read-only views of a single zero, so they cost
nothing until someone copies them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from protenix_ms.constants.residue_atoms import MAX_DENSE_ATOMS
from protenix_ms.constants.restypes import GAP_INDEX
from protenix_ms.features.tokens import TokenTable
from protenix_ms.job import Job, Polymer
from protenix_ms.typing import Array, Float, Shaped

NUM_TEMPLATES = 4
NUM_DISTOGRAM_BINS = 39
# Channels per token pair: [min, max] distance, max distance, one-hot distance bin.
_CHANNELS = {"contact": 2, "contact_atom": 2, "pocket": 1, "substructure": 4}


def empty_template_features(n_token: int) -> dict[str, Shaped[Array, "..."]]:
    """Fill the four template slots of a job without templates (AF3 SI table 5).

    Upstream's "no template" is not uniform, which is kept: slot 0 has gaps as residue types,
    slots 1-3 are padded with zeros, which reads as alanine. The model always divides by four.
    """
    t, n = NUM_TEMPLATES, n_token
    aatype = np.zeros((t, n), np.int64)
    aatype[0] = GAP_INDEX
    return {
        "template_aatype": aatype,
        "template_atom_positions": _zeros(t, n, MAX_DENSE_ATOMS, 3),
        "template_atom_mask": np.zeros((t, n, MAX_DENSE_ATOMS), bool),
        "template_pseudo_beta_mask": _zeros(t, n, n),
        "template_distogram": _zeros(t, n, n, NUM_DISTOGRAM_BINS),
        "template_unit_vector": _zeros(t, n, n, 3),
        "template_backbone_frame_mask": _zeros(t, n, n),
    }


def empty_constraint_features(n_token: int) -> dict[str, Float[Array, "n n c"]]:
    """Fill `constraint_feature/*` of the constraint model (Protenix v0.5) with float32 zeros."""
    return {f"constraint_feature/{name}": _zeros(n_token, n_token, channels)
            for name, channels in _CHANNELS.items()}


def _zeros(*shape: int) -> Shaped[Array, "..."]:
    return np.broadcast_to(np.float32(0), shape)


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
    return {"esm_token_embedding": feature}
