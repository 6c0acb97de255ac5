# SPDX-License-Identifier: Apache-2.0
"""How many rows of pair-sized work to do at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mindspore import Tensor, ops

from protenix_ms.runtime.policy import policy

DEFAULT_FLOATS = 2**26  # 256 MB: large enough that chunking costs nothing, small beside the weights


def rows_per_chunk(rows: int, floats_per_row: int) -> int:
    """Rows at once: the policy's `chunk`, else as many as keep a chunk within 256 MB."""
    chosen = policy().chunk or DEFAULT_FLOATS // max(1, floats_per_row)
    return max(1, min(rows, chosen))


def chunks(rows: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover ``0..rows``."""
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def map_rows(
    function: Callable[[slice], Tensor], rows: int, floats_per_row: int
) -> Tensor:
    """``function(slice)`` for row chunks, joined on axis 0.

    Args:
        function: work on some rows; rows must not depend on each other.
        rows: how many there are.
        floats_per_row: size of the largest intermediate array of one row.
    """
    size = rows_per_chunk(rows, floats_per_row)
    if size == rows:
        return function(slice(0, rows))
    return ops.concat([function(part) for part in chunks(rows, size)], 0)
