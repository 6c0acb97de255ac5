# SPDX-License-Identifier: Apache-2.0
"""The known structure of one training example, and what the losses must know about its atoms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from protenix_ms.errors import NonFiniteError
from protenix_ms.typing import Array, Bool, Float, Int, Shaped


@dataclass(frozen=True)
class AtomRoles:
    """What each atom is, and which atoms stand for tokens.

    Attributes:
        is_dna, is_rna, is_ligand: kind of molecule.
        distogram: atom that stands for each token in distances.
        pae: atom of each token whose aligned error is predicted.
        plddt: whether an atom is one of those that lDDT is measured against, before polymers are
            chosen.
        frames: three atoms of each token's frame.
        has_frame: tokens whose frame is defined.
        bonds: pairs of atoms with a bond between a polymer and a ligand, in both directions.
    """

    is_dna: Bool[Array, "a"]
    is_rna: Bool[Array, "a"]
    is_ligand: Bool[Array, "a"]
    distogram: Int[Array, "n"]
    pae: Int[Array, "n"]
    plddt: Bool[Array, "a"]
    frames: Int[Array, "n 3"]
    has_frame: Bool[Array, "n"]
    bonds: Int[Array, "e 2"]

    @classmethod
    def of(cls, features: Mapping[str, Shaped[Array, "..."]]) -> AtomRoles:
        """From the model's input arrays of a training example (reference protenix.md B.6, B.7)."""
        f = {k: np.asarray(v) for k, v in features.items() if k in _READ}
        return cls(
            *(f[k].astype(bool) for k in ("is_dna", "is_rna", "is_ligand")),
            np.flatnonzero(f["distogram_rep_atom_mask"]),
            np.flatnonzero(f["pae_rep_atom_mask"]),
            f["plddt_m_rep_atom_mask"].astype(bool),
            f["frame_atom_index"],
            f["has_frame"].astype(bool),
            np.argwhere(f["bond_mask"]),
        )

    @property
    def is_nucleotide(self) -> Bool[Array, "a"]:
        """Atoms of nucleic acids, whose neighbourhoods are wider."""
        return self.is_dna | self.is_rna


_READ = frozenset({
    "is_dna", "is_rna", "is_ligand", "distogram_rep_atom_mask", "pae_rep_atom_mask",
    "plddt_m_rep_atom_mask", "frame_atom_index", "has_frame", "bond_mask",
})


@dataclass(frozen=True)
class Labels:
    """Known coordinates.

    Attributes:
        x: angstrom; zero where unknown.
        resolved: atoms whose coordinates are known.
    """

    x: Float[Array, "a 3"]
    resolved: Bool[Array, "a"]

    @classmethod
    def of(cls, labels: Mapping[str, Shaped[Array, "..."]]) -> Labels:
        """From `coordinate` and `coordinate_mask`.

        Raises:
            NonFiniteError: a coordinate is no number.
        """
        x = np.asarray(labels["coordinate"], np.float32)
        if not np.isfinite(x).all():
            raise NonFiniteError("known coordinates are not finite", where="labels")
        return cls(x, np.asarray(labels["coordinate_mask"]).astype(bool))
