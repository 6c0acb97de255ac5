# SPDX-License-Identifier: Apache-2.0
"""Work on pair-sized arrays some rows at a time: how many, and how the results are joined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod

import numpy as np
from mindspore import Tensor, Type, float32, ops

from protenix_ms.runtime.gradient import recording
from protenix_ms.runtime.policy import policy
from protenix_ms.runtime.recompute import Owner, recomputed_piece
from protenix_ms.typing import Array

MOST_FLOATS = 2**24  # 64 MB; several are alive at once
FEWEST_FLOATS = 2**20
SHARE = 256  # a chunk is this part of the policy's memory: 64 MB of 16 GiB
LARGE = 2**26  # numbers, 256 MB: arrays whose number decides whether a job fits


def chunk_floats() -> int:
    """Return how many numbers the largest array of a chunk has: 64 MB, less in a small memory."""
    if policy().memory is None:
        return MOST_FLOATS
    return min(MOST_FLOATS, max(FEWEST_FLOATS, policy().memory // SHARE // 4))


def rows_per_chunk(rows: int, cost: int, least: int = 1) -> int:
    """Return the policy's `chunk`, else the size of equal chunks that `chunk_floats` allows.

    Args:
        rows: how many there are.
        cost: numbers in the largest intermediate array of one row.
        least: rows below which a chunk would waste more time than it saves memory.
    """
    if policy().chunk:
        return max(1, min(rows, policy().chunk))
    most = max(least, chunk_floats() // max(1, cost))
    return -(-rows // -(-rows // most)) if rows else 1


def chunks(rows: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` that cover ``0..rows``."""
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def slices(rows: int, cost: int) -> Iterator[slice]:
    """Yield the slices of rows for work whose largest array has `cost` numbers a row."""
    return chunks(rows, rows_per_chunk(rows, cost))


def is_large(shape: Sequence[int]) -> bool:
    """Tell whether an array of this shape is large enough to be written over, not copied."""
    return prod(shape) >= LARGE


def zeros(shape: Sequence[int], dtype: Type = float32) -> Tensor:
    """Make zeros. A large array takes memory only where it is written, and frees it at its end.

    MindSpore's pool keeps freed memory in pieces that seldom fit the next array.
    """
    if is_large(shape) and dtype == float32 and policy().device == "CPU":
        return Tensor.from_numpy(np.zeros(shape, np.float32))
    return ops.zeros(tuple(shape), dtype)


def rowwise(
    owner: Owner, function: Callable[..., Tensor], *arrays: Tensor | Array | range, cost: int,
    axes: Sequence[int] | int = 0, shared: Sequence[object] = (), least: int = 1,
    into: Tensor | None = None,
) -> Tensor:
    """Apply a function whose rows do not depend on each other; return all rows of its result.

    Calls ``function(*parts, *shared)`` for some rows at a time, and recomputes each call for the
    gradient if the policy wants that of the owner.

    Args:
        owner: as of `recomputed_piece`.
        function: returns one row for each row of its parts.
        arrays: arrays of as many rows each; a ``range`` hands the function a slice.
        cost, least: as of `rows_per_chunk`.
        axes: axis on which the rows of each array lie, that of the first also in the result.
        shared: further arguments, every tensor that the function reads among them.
        into: an array of the result's shape that nobody needs any more. Its memory takes the
            result if there are chunks and no gradient is recorded.
    """
    axes = (axes,) * len(arrays) if isinstance(axes, int) else axes
    first, axis = arrays[0], axes[0]
    rows = len(first) if isinstance(first, range) else first.shape[axis]
    size = rows_per_chunk(rows, cost, least)
    parts = list(chunks(rows, size)) or [slice(0, 0)]

    def call(*some: object) -> Tensor:
        return recomputed_piece(owner, function, *some, *shared)

    if len(parts) == 1:
        return call(*(parts[0] if isinstance(x, range) else x for x in arrays))
    if recording():
        pieces = (_split(x, axis, parts) for x, axis in zip(arrays, axes, strict=True))
        return ops.concat([call(*some) for some in zip(*pieces, strict=True)], axis)
    for part in parts:
        done = call(*(_part(x, axis, part) for x, axis in zip(arrays, axes, strict=True)))
        if into is None:
            into = zeros((*done.shape[:axis], rows, *done.shape[axis + 1 :]), done.dtype)
        into[(slice(None),) * axis + (part,)] = done
    return into


def _part(array: Tensor | Array | range, axis: int, part: slice) -> object:
    return part if isinstance(array, range) else array[(slice(None),) * axis + (part,)]


def _split(array: Tensor | Array | range, axis: int, parts: list[slice]) -> Sequence[object]:
    """Cut an array so that its gradient is joined by one operation.

    The gradient of a slice is as large as the array that it was cut from, and all are added up.
    Given one size that leaves a rest, MindSpore keeps memory after the backward pass.
    """
    if isinstance(array, Tensor):
        return ops.split(array, [part.stop - part.start for part in parts], axis)
    return [_part(array, axis, part) for part in parts]
