# SPDX-License-Identifier: Apache-2.0
"""The geometry lists of a job: which atoms the potentials hold, and to what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from rdkit import Chem
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from protenix_ms.errors import InputError
from protenix_ms.typing import Array, Bool, Float, Int

INDICES = {  # list -> atoms in a group
    "interchain_bond": 2, "pairwise_distance": 2, "linear_triple_bond": 3,
    "experimental_torsion": 4, "chiral": 4, "stereo_bond": 4, "planar_improper": 4,
}
VALUES = (
    "pairwise_distance_upper_bound", "pairwise_distance_lower_bound", "pairwise_distance_is_bond",
    "pairwise_distance_is_angle", "experimental_torsion_force_constant",
    "experimental_torsion_sign", "chiral_orientation", "stereo_bond_orientation",
)
_ATOMS = ("asym_id", "atom_to_token_idx", "ref_element")
_ELEMENTS = 118


@dataclass(frozen=True)
class Groups:
    """Groups of `k` atoms each.

    Attributes:
        index: rows of the atoms.
        n_atoms: atoms of the job.
    """

    index: Int[Array, "k m"]
    n_atoms: int

    def __len__(self) -> int:
        return int(self.index.shape[1])

    def positions(self, x: Float[Array, "s a 3"]) -> Float[Array, "s k m 3"]:
        """Take the positions of the groups' atoms."""
        return x[:, self.index]

    def scatter(self, values: Float[Array, "s k m 3"]) -> Float[Array, "s a 3"]:
        """Sum values of the groups' atoms by atom."""
        s = len(values)
        flat = np.moveaxis(values.reshape(s, -1, 3), 0, 1).reshape(-1, s * 3)
        return np.moveaxis((self._adder @ flat).reshape(self.n_atoms, s, 3), 1, 0)

    @cached_property
    def _adder(self) -> csr_matrix:
        rows = self.index.ravel()
        return csr_matrix((np.ones(len(rows)), (rows, np.arange(len(rows)))),
                          shape=(self.n_atoms, len(rows)))

    @cached_property
    def parts(self) -> tuple[Int[Array, "g"], ...]:
        """List groups that share atoms, directly or through others: each part stands alone."""
        if not len(self):
            return ()
        first = np.repeat(self.index[:1], len(self.index) - 1, axis=0).ravel()
        other = self.index[1:].ravel()
        graph = csr_matrix((np.ones(len(first)), (first, other)), shape=(self.n_atoms,) * 2)
        label = connected_components(graph, directed=False)[1][self.index[0]]
        return tuple(np.flatnonzero(label == part) for part in np.unique(label))


@dataclass(frozen=True)
class GeometryLists:
    """Everything the potentials need to know of a job.

    Attributes:
        groups: list -> atoms, names of `INDICES`.
        values: bounds, flags, orientations and force constants, float64, names of `VALUES`.
        chain: number of every atom's chain.
        radius: van der Waals radii in angstrom.
    """

    groups: Mapping[str, Groups]
    values: Mapping[str, Float[Array, "..."]]
    chain: Int[Array, "a"]
    radius: Float[Array, "a"]

    @classmethod
    def from_features(
        cls, features: Mapping[str, Array], precision: type = np.float32
    ) -> GeometryLists:
        """Read a job's features.

        Args:
            precision: of the radii and their sums. Upstream's are float32 at any precision, but
                in its recordings in float64, which replace that type everywhere.

        Raises:
            InputError: guidance features are absent.
        """
        needed = [*(f"{name}_index" for name in INDICES), *VALUES, *_ATOMS]
        missing = [name for name in needed if name not in features]
        if missing:
            raise InputError(f"features of guidance are absent: {', '.join(missing)}",
                             fix="build the features with guidance on")
        element = np.argmax(features["ref_element"], axis=-1)
        n = len(element)
        groups = {name: Groups(np.asarray(features[f"{name}_index"], np.int64).reshape(k, -1), n)
                  for name, k in INDICES.items()}
        values = {name: np.asarray(features[name], np.float64) for name in VALUES}
        chain = np.asarray(features["asym_id"])[np.asarray(features["atom_to_token_idx"])]
        return cls(groups, values, chain, van_der_waals_radii().astype(precision)[element])

    @cached_property
    def touching(self) -> Bool[Array, "c c"]:
        """Tell which pairs of chains cannot clash: the same, bonded to each other, or an ion."""
        size = np.bincount(self.chain)
        exempt: Array = np.eye(len(size), dtype=bool)
        first, second = self.chain[self.groups["interchain_bond"].index]
        exempt[first, second] = exempt[second, first] = True
        exempt |= (size <= 1) | (size <= 1)[:, None]
        return exempt

    @cached_property
    def projected(self) -> tuple[tuple[Groups, Bool[Array, "m"]], ...]:
        """Split the distances that are projected: those of angles, then those of bonds."""
        groups = self.groups["pairwise_distance"]
        masks = [self.values[f"pairwise_distance_is_{kind}"] > 0 for kind in ("angle", "bond")]
        return tuple((Groups(groups.index[:, mask], groups.n_atoms), mask) for mask in masks)


def van_der_waals_radii() -> Float[Array, "z"]:
    """List RDKit's radii (angstrom) by atomic number - 1: 128 float64, 0 beyond element 118."""
    table = Chem.GetPeriodicTable()
    radii = [table.GetRvdw(z) for z in range(1, _ELEMENTS + 1)]
    return np.array(radii + [0.0] * (128 - _ELEMENTS))
