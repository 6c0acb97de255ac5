# SPDX-License-Identifier: Apache-2.0
"""Tokens: one per standard residue, one per atom of everything else (AF3 SI 2.6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.constants.restypes import RESTYPE_INDEX, RESTYPES
from protenix_ms.errors import ChemistryError
from protenix_ms.features.lookup import map_unique
from protenix_ms.typing import Array, Bool, Float, Int, Shaped


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


def tokenize(atoms: AtomTable) -> TokenTable:
    """Tokens of an annotated atom table (`features.annotation.annotate`).

    A standard residue of a polymer type is one token, whatever chain it stands in; all other
    atoms, and those of the column `split` if there is one, are tokens of their own. Upstream:
    `AtomArrayTokenizer`.

    Raises:
        ChemistryError: a standard residue has lost its centre atom, or carries two.
    """
    standard = atoms.extra["standard"]
    if "split" in atoms.extra:
        standard = standard & ~atoms.extra["split"]
    starts = ~standard
    starts[atoms.residue_starts()] = True
    atom_to_token = np.cumsum(starts) - 1
    centre = np.flatnonzero(atoms.extra["centre_atom_mask"])
    _check_centres(atoms, atom_to_token, centre)
    return TokenTable(
        atom_to_token=atom_to_token,
        centre_atom=centre,
        restype=map_unique(atoms.extra["canonical_resname"][centre], RESTYPE_INDEX.__getitem__),
        residue_index=atoms.res_id[centre].astype(np.int64),
        asym_id=atoms.extra["asym_id"][centre],
        entity_id=atoms.extra["entity_index"][centre],
        sym_id=atoms.extra["sym_id"][centre],
        atomwise=~standard[centre],
    )


def _check_centres(
    atoms: AtomTable, atom_to_token: Int[Array, "a"], centre: Int[Array, "n"]
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
    """Per-token features of AF3 SI table 5: indices (i64) and restype (n, 32) f32 one-hot."""
    return {
        "token_index": np.arange(len(tokens)),
        "residue_index": tokens.residue_index,
        "asym_id": tokens.asym_id,
        "entity_id": tokens.entity_id,
        "sym_id": tokens.sym_id,
        "restype": _one_hot(tokens.restype),
    }


def _one_hot(restype: Int[Array, "n"]) -> Float[Array, "n 32"]:
    return np.eye(len(RESTYPES), dtype=np.float32)[restype]
