# SPDX-License-Identifier: Apache-2.0
"""Table lookups on columns of names: work once per distinct name, never once per atom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from protenix_ms.typing import Array, Int, Shaped


def map_unique(
    column: Shaped[Array, "a"], function: Callable[[str], Any], dtype: str | None = None
) -> Shaped[Array, "a"]:
    """`function` of every entry, called once per distinct entry."""
    values, inverse = np.unique(column, return_inverse=True)
    return np.array([function(str(value)) for value in values], dtype=dtype)[inverse]


def map_pairs(
    first: Shaped[Array, "a"], second: Shaped[Array, "a"], function: Callable[[str, str], int]
) -> Int[Array, "a"]:
    """`function(first, second)` of every row, called once per pair of distinct entries."""
    left, left_index = np.unique(first, return_inverse=True)
    right, right_index = np.unique(second, return_inverse=True)
    table = [[function(str(a), str(b)) for b in right] for a in left]
    return np.array(table, dtype=np.int64).reshape(len(left), len(right))[left_index, right_index]


def spread(starts: Int[Array, "g"], values: Shaped[Array, "g"], size: int) -> Shaped[Array, "a"]:
    """One value per contiguous group (given by its first rows), repeated over its rows."""
    return np.repeat(values, np.diff(np.append(starts, size)))
