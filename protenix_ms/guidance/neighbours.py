# SPDX-License-Identifier: Apache-2.0
"""Pairs of atoms of two chains that are near, found by a tree and kept while atoms move little."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

from protenix_ms.typing import Array, Bool, Float, Int

_SKIN = 1.0  # angstrom beyond the reach, so that a list serves several steps


@dataclass
class Neighbours:
    """Remembers candidate pairs by sample; what it answers does not depend on what it remembers.

    Attributes:
        chain: number of every atom's chain.
        radius: van der Waals radii in angstrom.
        exempt: pairs of chains that cannot clash.
    """

    chain: Int[Array, "a"]
    radius: Float[Array, "a"]
    exempt: Bool[Array, "c c"]
    _known: dict[int, tuple[float, Float[Array, "a 3"], Int[Array, "2 p"]]] = field(
        default_factory=dict)

    def near(
        self, x: Float[Array, "a 3"], buffer: float, sample: int = 0
    ) -> tuple[Int[Array, "p"], Int[Array, "p"]]:
        """List atoms of two chains nearer than ``1 - buffer`` of the sum of their radii, sorted.

        Memory goes with the pairs that are near, not with all of them.

        Args:
            x: angstrom.
            sample: number under which candidates are remembered.
        """
        i, j = self._candidates(x, buffer, sample)
        r = x[i] - x[j]
        length = np.sqrt(np.einsum("pi,pi->p", r, r))
        near = length < (self.radius[i] + self.radius[j]).astype(np.float64) * (1.0 - buffer)
        return i[near], j[near]

    def _candidates(self, x: Float[Array, "a 3"], buffer: float, sample: int) -> Int[Array, "2 p"]:
        """List pairs that may be near, until an atom has moved by half the skin."""
        if sample in self._known:
            before, place, pairs = self._known[sample]
            moved = x - place
            if before == buffer and 4 * np.einsum("ai,ai->a", moved, moved).max() < _SKIN**2:
                return pairs
        pairs = np.zeros((2, 0), np.int64)
        rows = np.flatnonzero(~self.exempt.all(axis=1)[self.chain])
        if len(rows) and buffer < 1:
            reach = 2 * float(self.radius[rows].max()) * (1 - buffer) + _SKIN
            pairs = rows[cKDTree(x[rows]).query_pairs(reach, output_type="ndarray")].T
            pairs = pairs[:, ~self.exempt[self.chain[pairs[0]], self.chain[pairs[1]]]]
            pairs = pairs[:, np.lexsort(pairs[::-1])]
        self._known[sample] = buffer, x.copy(), pairs
        return pairs
