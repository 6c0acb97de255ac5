# SPDX-License-Identifier: Apache-2.0
"""Distance constraints of the constraint model (Protenix v0.5), empty unless the job has some."""

from __future__ import annotations

import numpy as np

from protenix_ms.typing import Array, Float

# Channels per token pair: [min, max] distance, max distance, one-hot distance bin.
_CHANNELS = {"contact": 2, "contact_atom": 2, "pocket": 1, "substructure": 4}


def empty_constraint_features(n_token: int) -> dict[str, Float[Array, "n n c"]]:
    """`constraint_feature/*`: all zeros, float32, read-only views that cost nothing."""
    return {
        f"constraint_feature/{name}": np.broadcast_to(np.float32(0), (n_token, n_token, channels))
        for name, channels in _CHANNELS.items()
    }
