# SPDX-License-Identifier: Apache-2.0
"""Pairs of atoms of two chains that are near, found by a tree and kept while atoms move little."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

from protenix_ms.typing import Array, Bool, Float, Int

_SKIN = 1.0  # angstrom beyond the reach, so that a list serves several steps
_BLOCK = 512  # atoms whose neighbours are searched at once
_PORTION = 2**18  # pairs evaluated at once

Pairs = tuple[Int[Array, "p"], Int[Array, "p"], Int[Array, "p"]]
"""Samples, first and second atoms."""


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

    def near(self, x: Float[Array, "s a 3"], buffer: float) -> Iterator[Pairs]:
        """Yield atoms of two chains nearer than ``1 - buffer`` of the sum of their radii.

        They come in order, in portions, so that collapsed structures take no more memory.

        Args:
            x: angstrom.
        """
        for sample, i, j in self._portions(x, buffer):
            r = x[sample, i] - x[sample, j]
            length = np.sqrt(np.einsum("pi,pi->p", r, r))
            near = length < (self.radius[i] + self.radius[j]).astype(np.float64) * (1.0 - buffer)
            yield sample[near], i[near], j[near]

    def _portions(self, x: Float[Array, "s a 3"], buffer: float) -> Iterator[Pairs]:
        """Yield the candidates of all samples, at most `_PORTION` at once."""
        pool: list[tuple[int, Int[Array, "2 _"]]] = []
        for sample in range(len(x)):
            pairs = self._candidates(x[sample], buffer, sample)
            for start in range(0, pairs.shape[1], _PORTION):
                part = pairs[:, start:start + _PORTION]
                if pool and sum(p.shape[1] for _, p in pool) + part.shape[1] > _PORTION:
                    yield _joined(pool)
                    pool = []
                pool.append((sample, part))
        if pool:
            yield _joined(pool)

    def _candidates(self, x: Float[Array, "a 3"], buffer: float, sample: int) -> Int[Array, "2 p"]:
        """List pairs that may be near, in order, until an atom has moved by half the skin."""
        if sample in self._known:
            before, place, pairs = self._known[sample]
            moved = x - place
            if before == buffer and 4 * np.einsum("ai,ai->a", moved, moved).max() < _SKIN**2:
                return pairs
        rows = np.flatnonzero(~self.exempt.all(axis=1)[self.chain])
        blocks = [np.zeros((2, 0), np.int32)]
        if len(rows) and buffer < 1:
            reach = 2 * float(self.radius[rows].max()) * (1 - buffer) + _SKIN
            tree = cKDTree(x[rows])
            for start in range(0, len(rows), _BLOCK):
                mine = rows[start:start + _BLOCK]
                near = cKDTree(x[mine]).sparse_distance_matrix(tree, reach, output_type="ndarray")
                i, j = mine[near["i"]], rows[near["j"]]
                kept = (i < j) & ~self.exempt[self.chain[i], self.chain[j]]
                i, j = i[kept].astype(np.int32), j[kept].astype(np.int32)
                order = np.lexsort((j, i))
                blocks.append(np.stack([i[order], j[order]]))
        pairs = np.concatenate(blocks, axis=1)
        self._known[sample] = buffer, x.copy(), pairs
        return pairs


def _joined(pool: list[tuple[int, Int[Array, "2 _"]]]) -> Pairs:
    """Join pairs of several samples: their samples, first and second atoms."""
    sample = np.repeat([sample for sample, _ in pool], [part.shape[1] for _, part in pool])
    i, j = np.concatenate([part for _, part in pool], axis=1)
    return sample, i, j
