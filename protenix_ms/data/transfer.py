# SPDX-License-Identifier: Apache-2.0
"""Arrays that are nearly all zero, made small for the way between processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from protenix_ms.typing import Array, Int, Shaped

_LARGE = 1 << 16  # bytes
_MAX_FILLED = 1 / 16


@dataclass(frozen=True)
class Sparse:
    """The non-zero entries of an array, by flat index."""

    shape: tuple[int, ...]
    index: Int[Array, "k"]
    values: Shaped[Array, "k"]

    def dense(self) -> Shaped[Array, "..."]:
        """The array; one without entries is a read-only view of a single zero."""
        if not len(self.index):
            return np.broadcast_to(np.zeros((), self.values.dtype), self.shape)
        array = np.zeros(self.shape, self.values.dtype)
        array.reshape(-1)[self.index] = self.values
        return array


def pack(arrays: Mapping[str, Array]) -> dict[str, Array | Sparse]:
    """Large arrays with few non-zero entries become `Sparse`; views of one value cost nothing."""
    return {name: _packed(array) for name, array in arrays.items()}


def unpack(packed: Mapping[str, Array | Sparse]) -> dict[str, Array]:
    """The arrays again, equal in values, shapes and dtypes."""
    return {k: v.dense() if isinstance(v, Sparse) else v for k, v in packed.items()}


def _packed(array: Array) -> Array | Sparse:
    if array.nbytes < _LARGE:
        return array
    if not any(array.strides):  # a broadcast value
        value = array.reshape(-1)[:1]
        if not value[0]:
            return Sparse(array.shape, np.zeros(0, np.int64), value[:0].copy())
        return array
    if np.count_nonzero(array) > _MAX_FILLED * array.size:
        return array
    index = np.flatnonzero(array)
    return Sparse(array.shape, index, array.reshape(-1)[index])
