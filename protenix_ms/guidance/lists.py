# SPDX-License-Identifier: Apache-2.0
"""The geometry lists of a job: which atoms the potentials hold, and to what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from rdkit import Chem
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from protenix_ms.errors import InputError
from protenix_ms.guidance.neighbours import Neighbours
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
Bounds = tuple[Float[Array, "m"], Float[Array, "m"]]  # lower, upper, angstrom


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
        total = np.zeros((len(values), self.n_atoms, 3))
        if len(self):
            order, atoms, starts = self._by_atom
            rows = values.reshape(len(values), -1, 3)[:, order]
            total[:, atoms] = np.add.reduceat(rows, starts, axis=1)
        return total

    @cached_property
    def _by_atom(self) -> tuple[Int[Array, "r"], Int[Array, "n"], Int[Array, "n"]]:
        """Order the groups' places by atom; list the atoms and where each begins."""
        rows = self.index.ravel()
        order = np.argsort(rows, kind="stable")
        atoms, starts = np.unique(rows[order], return_index=True)
        return order, atoms, starts

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Collect the parts of like size, up to a power of two, to be solved together."""
        by_size: dict[int, list[Int[Array, "_"]]] = defaultdict(list)
        for part in self.parts:
            by_size[int(len(part) - 1).bit_length()].append(part)
        return tuple(Block.of_parts(self, parts) for _, parts in sorted(by_size.items()))

    @cached_property
    def parts(self) -> tuple[Int[Array, "_"], ...]:
        """List groups that share atoms, directly or through others: each part stands alone."""
        if not len(self):
            return ()
        first = np.repeat(self.index[:1], len(self.index) - 1, axis=0).ravel()
        other = self.index[1:].ravel()
        graph = csr_matrix((np.ones(len(first)), (first, other)), shape=(self.n_atoms,) * 2)
        label = connected_components(graph, directed=False)[1][self.index[0]]
        return tuple(np.flatnonzero(label == part) for part in np.unique(label))


@dataclass(frozen=True)
class Block:
    """Parts of `Groups`, padded to one size.

    Attributes:
        group: the groups of every part, `size` of which are meant.
        atoms: the atoms of every part; padding is one past the last atom.
        place: where in `atoms` the atoms of a group are.
    """

    group: Int[Array, "p m"]
    size: Int[Array, "p"]
    atoms: Int[Array, "p n"]
    place: Int[Array, "p m k"]

    @classmethod
    def of_parts(cls, groups: Groups, parts: Sequence[Int[Array, "_"]]) -> Block:
        """Pad parts."""
        k, size = len(groups.index), np.array([len(part) for part in parts])
        atoms = [np.unique(groups.index[:, part]) for part in parts]
        group = np.zeros((len(parts), size.max()), np.int64)
        rows = np.full((len(parts), max(map(len, atoms))), groups.n_atoms)
        place = np.zeros((*group.shape, k), np.int64)
        for i, part in enumerate(parts):
            group[i, :len(part)], rows[i, :len(atoms[i])] = part, atoms[i]
            place[i, :len(part)] = np.searchsorted(atoms[i], groups.index[:, part]).T
        return cls(group, size, rows, place)


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
    def neighbours(self) -> Neighbours:
        """Find clashes between chains."""
        return Neighbours(self.chain, self.radius, self.touching)

    @cached_property
    def bounds(self) -> dict[tuple[float, ...], Bounds]:
        """Keep the bounds of distances by their buffers."""
        return {}

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
