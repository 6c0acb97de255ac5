# SPDX-License-Identifier: Apache-2.0
"""Whole-residue tokens split into one token per atom (upstream `expand_tokens`)."""

from __future__ import annotations

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.typing import Array, Bool, Int


def split_tokens(
    whole: AtomTable, atoms: AtomTable, rows: Int[Array, "k"]
) -> tuple[AtomTable, AtomTable]:
    """The assembly and its crop, with the residues of some atoms of the crop split.

    Their atoms all become token centres and representative atoms (column `split`). Residues that
    are single-atom tokens already stay as they are.
    """
    residue = atoms.extra["ref_space_uid"]
    split = np.isin(residue, residue[rows]) & atoms.extra["standard"]
    names = np.unique(residue[split])
    in_whole = np.isin(whole.extra["ref_space_uid"], names) & whole.extra["standard"]
    atoms = _with_centres(atoms, split)
    return _with_centres(whole, in_whole), atoms.with_columns(
        split=split,
        tokatom_idx=np.where(split, 0, atoms.extra["tokatom_idx"]),
        distogram_rep_atom_mask=np.where(split, 1, atoms.extra["distogram_rep_atom_mask"]),
    )


def _with_centres(atoms: AtomTable, split: Bool[Array, "a"]) -> AtomTable:
    centre = np.where(split, 1, atoms.extra["centre_atom_mask"])
    return atoms.with_columns(centre_atom_mask=centre)
