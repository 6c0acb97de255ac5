# SPDX-License-Identifier: Apache-2.0
"""Align two proteins from end to end as Kalign 3.3.5 does, ties included.

Among the optimal alignments the one counts that Kalign's divide and conquer (Hirschberg) meets:
the middle row of a block is crossed at the best column, where distance from the block's middle
column costs a thousandth per column, and the lower column wins a tie. Upstream aligns the whole
template chain with Kalign and forgets the alignment of the hit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from protenix_ms.constants.substitution import (
    END_GAP_EXTEND,
    GAP_EXTEND,
    GAP_OPEN,
    SUBSTITUTION,
    SUBSTITUTION_INDEX,
)
from protenix_ms.typing import Array, Float, Int

SHORTEST = 6  # residues; Kalign refuses shorter sequences
# States of an alignment at a boundary: last two residues aligned, a column alone, a row alone.
_ALIGNED, _COLUMN, _ROW = range(3)
_DISTANCE_COST = np.float32(1000)


class _Crossing(NamedTuple):
    """How an alignment crosses the middle row of a block: state before it, state after it."""

    before: int
    after: int


# In the order in which Kalign tries them. At the last column of a block only two are possible.
_CROSSINGS = (
    _Crossing(_ALIGNED, _ALIGNED), _Crossing(_ALIGNED, _COLUMN), _Crossing(_ALIGNED, _ROW),
    _Crossing(_COLUMN, _ALIGNED), _Crossing(_ROW, _ROW), _Crossing(_ROW, _ALIGNED),
)  # fmt: skip
_AT_LAST = np.array([crossing.after == _ROW for crossing in _CROSSINGS])


class _Block(NamedTuple):
    """Rows and columns still to align, half open, and the states at the block's two corners."""

    row: int
    end_row: int
    column: int
    end_column: int
    start: int
    end: int


def align_pair(query: str, target: str) -> Int[Array, "q"]:
    """Align two sequences globally.

    Args:
        query, target: one-letter codes in upper case; letters without a score count as X.

    Returns:
        For every query residue the 0-based target residue beside it, -1 for a gap.
    """
    if len(query) < len(target):
        return _matches(query, target)
    columns = _matches(target, query)
    result = np.full(len(query), -1)
    aligned = np.flatnonzero(columns >= 0)
    result[columns[aligned]] = aligned
    return result


def _matches(rows: str, columns: str) -> Int[Array, "r"]:
    """Return the column of every row, -1 for a gap, by dividing the matrix into blocks."""
    codes, profile = _encode(rows), SUBSTITUTION[:, _encode(columns)]
    width = len(columns)
    matched = np.full(len(rows) + 1, 0)  # numbers from 1, as boundaries count; 0 is a gap
    waiting = [_Block(0, len(rows), 0, width, _ALIGNED, _ALIGNED)]
    while waiting:
        block = waiting.pop()
        if block.row >= block.end_row or block.column >= block.end_column:
            continue
        middle = block.row + (block.end_row - block.row) // 2
        crossed = _cross(block, middle, codes, profile)
        if crossed is None:
            continue
        column, (before, after) = crossed
        if before == _ALIGNED:
            matched[middle] = column
        if after == _ALIGNED:
            matched[middle + 1] = column + 1
        waiting.append(_Block(block.row, middle - (before != _COLUMN), block.column,
                              column - (before != _ROW), block.start, before))
        waiting.append(_Block(middle + (after != _COLUMN), block.end_row,
                              column + (after != _ROW), block.end_column, after, block.end))
    return matched[1:] - 1


def _encode(sequence: str) -> Int[Array, "s"]:
    unknown = SUBSTITUTION_INDEX["X"]
    return np.array([SUBSTITUTION_INDEX.get(letter, unknown) for letter in sequence])


def _cross(
    block: _Block, middle: int, codes: Int[Array, "r"], profile: Float[Array, "23 c"]
) -> tuple[int, _Crossing] | None:
    """Find where the best alignment of a block crosses its middle row; None if none can."""
    at_left, at_right = block.column == 0, block.end_column == profile.shape[1]
    part = profile[:, block.column:block.end_column]
    above = _sweep(part[codes[block.row:middle]], block.start, at_left, at_right)
    below = _sweep(part[codes[middle:block.end_row]][::-1, ::-1], block.end, at_right,
                   at_left)[:, ::-1]
    total = np.stack([above[c.before] + below[c.after] for c in _CROSSINGS], axis=1)
    total -= [0.0 if c.before == c.after else GAP_OPEN for c in _CROSSINGS]
    within, last = (END_GAP_EXTEND if edge else GAP_EXTEND for edge in (at_left, at_right))
    row_row = _CROSSINGS.index(_Crossing(_ROW, _ROW))
    total[:-1, row_row] -= within
    total[-1, row_row] -= last
    total[-1, ~_AT_LAST] = -np.inf
    columns = np.arange(block.column, block.end_column + 1, dtype=np.float32)
    centre = np.float32((block.end_column - block.column) / 2 + block.column)
    total = total.astype(np.float32) - (np.abs(centre - columns) / _DISTANCE_COST)[:, None]
    best = int(total.argmax())
    if not np.isfinite(total.ravel()[best]):
        return None
    column, crossing = divmod(best, len(_CROSSINGS))
    return block.column + column, _CROSSINGS[crossing]


def _sweep(
    scores: Float[Array, "r c"], state: int, at_left: bool, at_right: bool
) -> Float[Array, "3 c_plus_1"]:
    """Score the best alignments of all rows with the first 0, 1, ... columns, by last state.

    Args:
        scores: substitution scores.
        state: in which the block begins.
        at_left, at_right: whether nothing stands before the first and after the last column, so
            that gaps of rows there are end gaps.

    Returns:
        Rows `_ALIGNED`, `_COLUMN`, `_ROW`; minus infinity where a state is impossible.
    """
    width = scores.shape[1]
    steps = GAP_EXTEND * np.arange(width)
    s = np.full((3, width + 1), -np.inf)
    s[state, 0] = 0.0
    inner = np.arange(1, width)
    if at_left:
        s[_COLUMN, 1:-1] = max(s[_COLUMN, 0], s[_ALIGNED, 0]) - END_GAP_EXTEND * inner
    else:
        opened = max(s[_COLUMN, 0] - GAP_EXTEND, s[_ALIGNED, 0] - GAP_OPEN)
        s[_COLUMN, 1:-1] = opened - GAP_EXTEND * (inner - 1)
    for row in scores:
        aligned, column, alone = s
        new = np.full_like(s, -np.inf)
        new[_ALIGNED, 1:] = np.maximum(
            aligned[:-1], np.maximum(column[:-1], alone[:-1]) - GAP_OPEN) + row
        new[_ROW] = np.maximum(alone - GAP_EXTEND, aligned - GAP_OPEN)
        for edge, at_edge in ((0, at_left), (-1, at_right)):
            if at_edge:
                new[_ROW, edge] = max(alone[edge], aligned[edge]) - END_GAP_EXTEND
        best = np.maximum.accumulate(new[_ALIGNED, :-1] + steps)
        new[_COLUMN, 1:-1] = (best - steps - GAP_OPEN)[:-1]
        s = new
    return s
