# SPDX-License-Identifier: Apache-2.0
"""Clashes between polymer chains (AF3 SI section 5.9.2; upstream `metrics.clash`).

The threshold is 1.1 angstrom whatever the configuration says: upstream hands its configured value
to another argument, so it is never read (trap H38).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from protenix_ms.typing import Array, Bool, Float, Int

CLASH_DISTANCE = 1.1  # angstrom
MAX_CLASHES = 100
MAX_CLASH_FRACTION = 0.5  # of the smaller chain's atoms
_ROWS = 1024  # distances are made for this many atoms at once


def count_close(x: Float[Array, "a 3"], y: Float[Array, "b 3"], distance: float) -> int:
    """Number of pairs closer than `distance` angstrom."""
    close = 0
    for i in range(0, len(x), _ROWS):
        apart = x[i : i + _ROWS, None].astype(np.float64) - y[None]
        close += int((np.einsum("abk,abk->ab", apart, apart) < distance**2).sum())
    return close


def has_clash(
    coordinates: Float[Array, "a 3"],
    atom_chain: Int[Array, "a"],
    atom_is_polymer: Bool[Array, "a"],
) -> bool:
    """Whether two polymer chains overlap: over 100 close pairs, or over half the smaller chain.

    A chain counts as polymer when its first atom is one.
    """
    chains = [np.flatnonzero(atom_chain == c) for c in np.unique(atom_chain)]
    polymers = [coordinates[rows] for rows in chains if atom_is_polymer[rows[0]]]
    for x, y in combinations(polymers, 2):
        close = count_close(x, y, CLASH_DISTANCE)
        if close > MAX_CLASHES or close / min(len(x), len(y)) > MAX_CLASH_FRACTION:
            return True
    return False
