# SPDX-License-Identifier: Apache-2.0
"""How many rows of pair-sized work to do at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mindspore import Tensor, ops

from protenix_ms.runtime.gradient import recording
from protenix_ms.runtime.policy import policy

MOST_FLOATS = 2**24  # 64 MB; several are alive at once
FEWEST_FLOATS = 2**20
SHARE = 256  # a chunk is this part of a given memory budget: 64 MB of 16 GiB


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


def map_rows(
    function: Callable[[slice], Tensor], rows: int, floats_per_row: int, least: int = 1
) -> Tensor:
    """``function(slice)`` for row chunks, joined on axis 0; in place where nothing is recorded.

    Args:
        function: work on some rows, which must not depend on each other; gives one or more rows
            for each.
        rows, floats_per_row, least: as of `rows_per_chunk`.
    """
    size = rows_per_chunk(rows, floats_per_row, least)
    if size == rows:
        return function(slice(0, rows))
    if recording():
        return ops.concat([function(part) for part in chunks(rows, size)], 0)
    whole = None
    for part in chunks(rows, size):
        done = function(part)
        each = done.shape[0] // (part.stop - part.start)
        if whole is None:
            whole = ops.zeros((rows * each, *done.shape[1:]), done.dtype)
        whole[part.start * each : part.stop * each] = done
    return whole
