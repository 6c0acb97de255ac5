# SPDX-License-Identifier: Apache-2.0
"""How many rows of pair-sized work to do at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod

import numpy as np
from mindspore import Tensor, Type, float32, ops

from protenix_ms.runtime.gradient import recording
from protenix_ms.runtime.policy import policy

MOST_FLOATS = 2**24  # 64 MB; several are alive at once
FEWEST_FLOATS = 2**20
SHARE = 256  # a chunk is this part of a given memory budget: 64 MB of 16 GiB
LARGE = 2**26  # numbers, 256 MB: arrays that count one by one


def chunk_floats() -> int:
    """Numbers in the largest array of a chunk: 64 MB, less if the policy's memory is small."""
    if policy().memory is None:
        return MOST_FLOATS
    return min(MOST_FLOATS, max(FEWEST_FLOATS, policy().memory // SHARE // 4))


def rows_per_chunk(rows: int, floats_per_row: int, least: int = 1) -> int:
    """Rows at once: the policy's `chunk`, else equal chunks as large as `chunk_floats` allows.

    Args:
        rows: how many there are.
        floats_per_row: size of the largest intermediate array of one row.
        least: rows below which a chunk would waste more time than it saves memory.
    """
    if policy().chunk:
        return max(1, min(rows, policy().chunk))
    most = max(least, chunk_floats() // max(1, floats_per_row))
    return -(-rows // -(-rows // most)) if rows else 1


def chunks(rows: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover ``0..rows``."""
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def is_large(shape: Sequence[int]) -> bool:
    """Whether arrays of this shape count one by one."""
    return prod(shape) >= LARGE


def zeros(shape: tuple[int, ...], dtype: Type = float32) -> Tensor:
    """Zeros. A large array takes memory only where it is written, and gives it back at its end.

    MindSpore's pool keeps what it once had, in pieces that seldom fit the next array.
    """
    if is_large(shape) and dtype == float32 and policy().device == "CPU":
        return Tensor.from_numpy(np.zeros(shape, np.float32))
    return ops.zeros(shape, dtype)


def map_rows(
    function: Callable[[slice], Tensor], rows: int, floats_per_row: int, least: int = 1,
    into: Tensor | None = None,
) -> Tensor:
    """``function(slice)`` for row chunks, joined on axis 0; in place where nothing is recorded.

    Args:
        function: work on some rows, which must not depend on each other; gives one or more rows
            for each.
        rows, floats_per_row, least: as of `rows_per_chunk`.
        into: an array of the result's shape that nobody needs any more and that may hold the
            result, written row by row; used if there are chunks and no gradient.
    """
    size = rows_per_chunk(rows, floats_per_row, least)
    if size == rows:
        return function(slice(0, rows))
    if recording():
        return ops.concat([function(part) for part in chunks(rows, size)], 0)
    for part in chunks(rows, size):
        done = function(part)
        each = done.shape[0] // (part.stop - part.start)
        if into is None:
            into = zeros((rows * each, *done.shape[1:]), done.dtype)
        into[part.start * each : part.stop * each] = done
    return into


def map_parts(
    function: Callable[..., Tensor], arrays: Sequence[Tensor], axes: Sequence[int],
    floats_per_row: int,
) -> Tensor:
    """``function(*parts)`` for row chunks of `arrays`, joined on the axis of the first.

    The way of training: the gradient joins the chunks, too. A slice's gradient is as large as the
    array that it was cut from, zero but for the slice, and all of them are added up.

    Args:
        function: work on some rows, which must not depend on each other.
        arrays: of as many rows each.
        axes: on which the rows of each lie.
        floats_per_row: as of `rows_per_chunk`.

    Returns:
        What ``function(*arrays)`` gives; a new array where there are chunks, never in place.
    """
    rows = arrays[0].shape[axes[0]]
    size = rows_per_chunk(rows, floats_per_row)
    if size == rows:
        return function(*arrays)
    # Given one size that leaves a rest, MindSpore keeps memory after the backward pass.
    sizes = [part.stop - part.start for part in chunks(rows, size)]
    parts = (ops.split(array, sizes, axis) for array, axis in zip(arrays, axes, strict=True))
    return ops.concat([function(*some) for some in zip(*parts, strict=True)], axes[0])
