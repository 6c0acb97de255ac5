# SPDX-License-Identifier: Apache-2.0
"""Contiguous crops (AlphaFold-Multimer algorithm 1; upstream `get_continues_crop_index`)."""

from __future__ import annotations

import numpy as np

from protenix_ms.data.token_view import TokenView
from protenix_ms.typing import Array, Int


def contiguous_tokens(
    view: TokenView, size: int, rng: np.random.Generator, whole_residues: bool, drop_ions: bool
) -> Int[Array, "k"]:
    """At most `size` tokens: one stretch of each chain, chains in random order.

    Draws, in upstream's order: a permutation of the chains; per chain the length of its stretch,
    its start, and with `whole_residues` a coin where a cut residue could go or stay.
    """
    chains, offsets, lengths = np.unique(view.chain, return_index=True, return_counts=True)
    left = len(view) - (int(view.ion.sum()) if drop_ions else 0)
    residues = _Residues(view.residue, rng)
    chosen: list[Int[Array, "_"]] = []
    taken = 0
    for index in rng.permutation(len(chains)).tolist():
        if taken >= size:
            break
        offset, length = int(offsets[index]), int(lengths[index])
        if drop_ions and view.ion[offset]:
            continue
        left -= length
        least = min(length, max(0, size - (taken + left)))
        most = min(size - taken, length)
        stretch = int(rng.integers(least, most + 1))
        start = offset + int(rng.integers(0, length - stretch + 1))
        stop = start + stretch
        if whole_residues and stretch:
            start, stop = residues.snapped(start, stop, least, size - taken)
        chosen.append(np.arange(start, stop))
        taken += stop - start
    return np.sort(np.concatenate(chosen or [np.zeros(0, np.int64)]))


class _Residues:
    """Moves the ends of a stretch to the borders of residues that have several tokens."""

    def __init__(self, residue: Int[Array, "n"], rng: np.random.Generator) -> None:
        _, inverse = np.unique(residue, return_inverse=True)
        count = int(inverse.max(initial=-1)) + 1
        first, last = np.full(count, len(residue)), np.zeros(count, np.int64)
        np.minimum.at(first, inverse, np.arange(len(residue)))
        np.maximum.at(last, inverse, np.arange(len(residue)))
        self._first, self._last = first[inverse], last[inverse]
        self._rng = rng

    def snapped(self, start: int, stop: int, least: int, most: int) -> tuple[int, int]:
        """The stretch with whole residues at both ends, `least` to `most` tokens if possible."""
        cut_start = int(self._first[start]) != start
        cut_stop = int(self._last[stop - 1]) != stop - 1
        if cut_start and cut_stop:  # the residue at the start is always taken
            start, cut_start = int(self._first[start]), False
        if cut_stop:
            return start, self._stop(start, stop, least, most)
        if cut_start:
            return self._start(start, stop, least, most), stop
        return start, stop

    def _stop(self, start: int, stop: int, least: int, most: int) -> int:
        before, after = int(self._first[stop - 1]), int(self._last[stop - 1]) + 1
        fitting = [end for end in (before, after) if least <= end - start <= most]
        if fitting:
            return self._either(fitting)
        while before - start > most and before > start:
            before = int(self._first[before - 1])
        return before

    def _start(self, start: int, stop: int, least: int, most: int) -> int:
        with_it, without = int(self._first[start]), int(self._last[start]) + 1
        fitting = [begin for begin in (with_it, without) if least <= stop - begin <= most]
        return self._either(fitting) if fitting else without

    def _either(self, places: list[int]) -> int:
        return places[int(self._rng.integers(0, 2))] if len(places) == 2 else places[0]
