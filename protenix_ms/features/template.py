# SPDX-License-Identifier: Apache-2.0
"""Template features of a job without templates: four slots that say nothing (AF3 SI table 5).

Upstream's "no template" is not uniform (reference trap H16): slot 0 has gaps as residue types,
slots 1-3 are padded with zeros, which reads as alanine. The model divides by four slots always.
"""

from __future__ import annotations

import numpy as np

from protenix_ms.constants.residue_atoms import MAX_DENSE_ATOMS
from protenix_ms.constants.restypes import GAP_INDEX
from protenix_ms.typing import Array, Shaped

NUM_TEMPLATES = 4
NUM_DISTOGRAM_BINS = 39


def empty_template_features(n_token: int) -> dict[str, Shaped[Array, "..."]]:
    """Features of `n_token` tokens without templates.

    The pair features would take 0.7 KB per token pair; they are read-only views of a single zero,
    so they cost nothing until someone copies them.
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


def _zeros(*shape: int) -> Shaped[Array, "..."]:
    return np.broadcast_to(np.float32(0), shape)
