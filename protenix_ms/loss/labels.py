# SPDX-License-Identifier: Apache-2.0
"""The known structure of a training example, and the roles of its atoms in the losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from protenix_ms.errors import NonFiniteError
from protenix_ms.typing import Array, Bool, Float, Int, Shaped


@dataclass(frozen=True)
class AtomRoles:
    """The kind of each atom, and the atoms that stand for tokens.

    Attributes:
        is_dna, is_rna, is_ligand: kind of molecule.
        distogram: atom that stands for each token in distances.
        pae: atom of each token whose aligned error is predicted.
        plddt: atoms against which lDDT is measured; only those of polymers count.
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
    def from_features(cls, features: Mapping[str, Shaped[Array, "..."]]) -> AtomRoles:
        """Read the model's input arrays of a training example."""
        def mask(name: str) -> Bool[Array, "_"]:
            return np.asarray(features[name]).astype(bool)

        return cls(
            mask("is_dna"), mask("is_rna"), mask("is_ligand"),
            np.flatnonzero(mask("distogram_rep_atom_mask")),
            np.flatnonzero(mask("pae_rep_atom_mask")),
            mask("plddt_m_rep_atom_mask"),
            np.asarray(features["frame_atom_index"]),
            mask("has_frame"),
            np.argwhere(np.asarray(features["bond_mask"])),
        )

    @property
    def is_nucleotide(self) -> Bool[Array, "a"]:
        """Select the atoms of nucleic acids, whose neighbourhoods are wider."""
        return self.is_dna | self.is_rna


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
    def from_arrays(cls, labels: Mapping[str, Shaped[Array, "..."]]) -> Labels:
        """Read `coordinate` and `coordinate_mask`.

        Raises:
            NonFiniteError: a coordinate is not finite.
        """
        x = np.asarray(labels["coordinate"], np.float32)
        if not np.isfinite(x).all():
            raise NonFiniteError("known coordinates are not finite", where="labels")
        return cls(x, np.asarray(labels["coordinate_mask"]).astype(bool))
