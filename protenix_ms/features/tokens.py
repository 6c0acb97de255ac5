# SPDX-License-Identifier: Apache-2.0
"""Make tokens: one per standard residue, one per atom of everything else (AF3 SI 2.6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protenix_ms.chem.columns import map_unique
from protenix_ms.constants.restypes import RESTYPE_INDEX, RESTYPES
from protenix_ms.errors import ChemistryError
from protenix_ms.features.annotation import AnnotatedAtoms
from protenix_ms.typing import Array, Bool, Int, Shaped

UNKNOWN_RESOLUTION = -1.0  # of a job, for there is no experiment
# Feature -> column of `AnnotatedAtoms`
_ROLES = {
    "atom_to_tokatom_idx": "tokatom_idx",
    "mol_id": "mol_id",
    "mol_atom_index": "mol_atom_index",
    "entity_mol_id": "entity_mol_id",
    "pae_rep_atom_mask": "centre_atom_mask",
    "plddt_m_rep_atom_mask": "plddt_m_rep_atom_mask",
    "distogram_rep_atom_mask": "distogram_rep_atom_mask",
    "modified_res_mask": "modified_res_mask",
}


@dataclass(frozen=True)
class TokenTable:
    """The tokens of an assembly, in atom order.

    Attributes:
        atom_to_token: token of every atom.
        centre_atom: row of the token's centre atom (C-alpha, C1', or the only atom).
        restype: index into the 32 residue types; ligand atoms are UNK.
        residue_index: 1-based residue number in its chain.
        asym_id, entity_id, sym_id: chain, entity and copy-of-entity number, 0-based.
        atomwise: True for tokens that are a single atom of a larger group.
    """

    atom_to_token: Int[Array, "a"]
    centre_atom: Int[Array, "n"]
    restype: Int[Array, "n"]
    residue_index: Int[Array, "n"]
    asym_id: Int[Array, "n"]
    entity_id: Int[Array, "n"]
    sym_id: Int[Array, "n"]
    atomwise: Bool[Array, "n"]

    def __len__(self) -> int:
        return len(self.centre_atom)


def tokenize(atoms: AnnotatedAtoms) -> TokenTable:
    """Divide atoms into tokens.

    A standard residue of a polymer type is one token, whatever chain it stands in; all other
    atoms, and those of `split` residues, are tokens of their own. Upstream: `AtomArrayTokenizer`.

    Raises:
        ChemistryError: a standard residue has lost its centre atom, or carries two.
    """
    single = ~atoms.standard | atoms.split
    starts = single.copy()
    starts[atoms.residue_starts()] = True
    atom_to_token = np.cumsum(starts) - 1
    centre = np.flatnonzero(atoms.centre_atom_mask)
    _check_centres(atoms, atom_to_token, centre)
    return TokenTable(
        atom_to_token=atom_to_token,
        centre_atom=centre,
        restype=map_unique(atoms.canonical_resname[centre], RESTYPE_INDEX.__getitem__),
        residue_index=atoms.res_id[centre].astype(np.int64),
        asym_id=atoms.asym_id[centre],
        entity_id=atoms.entity_index[centre],
        sym_id=atoms.sym_id[centre],
        atomwise=single[centre],
    )


def _check_centres(
    atoms: AnnotatedAtoms, atom_to_token: Int[Array, "a"], centre: Int[Array, "n"]
) -> None:
    n_token = int(atom_to_token[-1]) + 1 if len(atom_to_token) else 0
    per_token = np.bincount(atom_to_token[centre], minlength=n_token)
    wrong = np.flatnonzero(per_token != 1)
    if len(wrong):
        row = int(np.searchsorted(atom_to_token, wrong[0]))
        raise ChemistryError(
            f"residue {atoms.res_name[row]} has {per_token[wrong[0]]} centre atoms, expected one",
            where=f"chain {atoms.chain_id[row]}, position {atoms.res_id[row]}",
            fix="check the covalent bonds at this residue",
        )


def token_features(tokens: TokenTable) -> dict[str, Shaped[Array, "..."]]:
    """List the token features of AF3 SI table 5: indices (i64) and restype (n, 32) f32 one-hot."""
    return {
        "token_index": np.arange(len(tokens)),
        "residue_index": tokens.residue_index,
        "asym_id": tokens.asym_id,
        "entity_id": tokens.entity_id,
        "sym_id": tokens.sym_id,
        "restype": np.eye(len(RESTYPES), dtype=np.float32)[tokens.restype],
    }


def role_features(atoms: AnnotatedAtoms, tokens: TokenTable) -> dict[str, Shaped[Array, "..."]]:
    """Say what each atom is to the model ((a,) i64): its token, type, roles and molecule."""
    features = {name: getattr(atoms, column).astype(np.int64) for name, column in _ROLES.items()}
    for kind in ("protein", "ligand", "dna", "rna"):
        features[f"is_{kind}"] = (atoms.chain_type == kind).astype(np.int64)
    features["atom_to_token_idx"] = tokens.atom_to_token
    features["resolution"] = np.array([UNKNOWN_RESOLUTION], np.float32)
    return features
