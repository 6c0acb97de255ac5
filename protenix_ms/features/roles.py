# SPDX-License-Identifier: Apache-2.0
"""Per-atom roles: owner token, molecule type, representative atoms, molecules (all (a,) i64)."""

from __future__ import annotations

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.features.tokens import TokenTable
from protenix_ms.typing import Array, Shaped

UNKNOWN_RESOLUTION = -1.0

_COLUMNS = {
    "atom_to_tokatom_idx": "tokatom_idx",
    "mol_id": "mol_id",
    "mol_atom_index": "mol_atom_index",
    "entity_mol_id": "entity_mol_id",
    "pae_rep_atom_mask": "centre_atom_mask",
    "plddt_m_rep_atom_mask": "plddt_m_rep_atom_mask",
    "distogram_rep_atom_mask": "distogram_rep_atom_mask",
    "modified_res_mask": "modified_res_mask",
}


def role_features(atoms: AtomTable, tokens: TokenTable) -> dict[str, Shaped[Array, "..."]]:
    """What each atom is to the model; `resolution` is -1, for there is no experiment."""
    features = {name: atoms.extra[column].astype(np.int64) for name, column in _COLUMNS.items()}
    for kind in ("protein", "ligand", "dna", "rna"):
        features[f"is_{kind}"] = (atoms.extra["chain_type"] == kind).astype(np.int64)
    features["atom_to_token_idx"] = tokens.atom_to_token
    features["resolution"] = np.array([UNKNOWN_RESOLUTION], np.float32)
    return features
