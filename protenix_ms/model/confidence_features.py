# SPDX-License-Identifier: Apache-2.0
"""Inputs of the confidence head: representative atoms, places of atoms in tokens, chains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from mindspore import Tensor

from protenix_ms.geometry.tm_terms import TmTables
from protenix_ms.typing import Array, Int, Shaped


@dataclass(frozen=True)
class ConfidenceFeatures:
    """Atoms and chains of a job, as the confidence head needs them.

    Attributes:
        representative: atom that stands for each token in distances (C-beta, ...).
        places: for each place that an atom can have in its token (0 to 23), the slice of atoms
            with it, when atoms are ordered by place.
        token_by_place: token of each atom, atoms ordered by place.
        atom_order: position of each atom in that order.
        tm: chains and their TM-score terms.
    """

    representative: Int[Array, "n"]
    places: tuple[tuple[int, slice], ...]
    token_by_place: Int[Tensor, "a"]
    atom_order: Int[Tensor, "a"]
    tm: TmTables

    @classmethod
    def from_features(cls, features: Mapping[str, Shaped[Array, "..."]]) -> ConfidenceFeatures:
        """Read the model's input arrays."""
        place = np.asarray(features["atom_to_tokatom_idx"])
        order = np.argsort(place, kind="stable")
        ends = np.cumsum(np.bincount(place))
        starts = np.concatenate([[0], ends[:-1]])
        token = np.asarray(features["atom_to_token_idx"])[order].astype(np.int32)
        return cls(
            np.flatnonzero(features["distogram_rep_atom_mask"]),
            tuple(
                (i, slice(int(a), int(b))) for i, (a, b) in enumerate(zip(starts, ends)) if b > a
            ),
            Tensor.from_numpy(token),
            Tensor.from_numpy(np.argsort(order).astype(np.int32)),
            TmTables.from_chains(np.asarray(features["asym_id"])),
        )
