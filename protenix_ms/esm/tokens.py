# SPDX-License-Identifier: Apache-2.0
"""Sequences as tokens, and many of them packed along one axis without padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from protenix_ms.constants.restypes import BEGIN, END, MASK, NUMBER
from protenix_ms.io.protein_sequences import split_tokens
from protenix_ms.typing import Array, Float, Int

MASKED_IN_TRAINING = 0.15 * 0.8
"""Share of tokens that training masked; inputs are rescaled to it."""


def tokenize(sequence: str, where: str = "") -> Int[Array, "t"]:
    """Number the tokens of a sequence, with the begin and the end token around it; int32.

    Args:
        sequence: letters of residues, and ``<mask>`` or ``<unk>`` in their place.
        where: its place, for errors.

    Raises:
        InputError: no residue, or a letter that is none, by its position.
    """
    return np.array([BEGIN, *(NUMBER[token] for token in split_tokens(sequence, where)), END],
                    np.int32)


@dataclass(frozen=True)
class Packing:
    """Sequences that lie one after the other along the token axis.

    Attributes:
        rows: tokens of each sequence, with begin and end.
    """

    rows: tuple[Int[Array, "_"], ...]

    @property
    def lengths(self) -> tuple[int, ...]:
        """Return the number of tokens of each sequence."""
        return tuple(len(row) for row in self.rows)

    @cached_property
    def tokens(self) -> Int[Array, "t"]:
        """Return all tokens."""
        return np.concatenate(self.rows)

    @cached_property
    def positions(self) -> Int[Array, "t"]:
        """Return the position of each token in its own sequence, from 0."""
        return np.concatenate([np.arange(n, dtype=np.int32) for n in self.lengths])

    @cached_property
    def parts(self) -> tuple[slice, ...]:
        """Return the place of each sequence."""
        ends = np.cumsum(self.lengths)
        return tuple(slice(int(end - n), int(end)) for n, end in zip(self.lengths, ends))

    def rescaling(self) -> Float[Array, "t"]:
        """Return the factors of token dropout: 0 for masks, and else what keeps the sum.

        A sequence without a mask is multiplied by 0.88, the share that training left.
        """
        factors = []
        for row in self.rows:
            masked = row == MASK
            factors.append(np.where(masked, 0, (1 - MASKED_IN_TRAINING) / (1 - masked.mean())))
        return np.concatenate(factors).astype(np.float32)


def pack(rows: Sequence[Int[Array, "_"]], most: int) -> Iterator[tuple[range, Packing]]:
    """Pack neighbours together up to `most` tokens, a longer sequence alone.

    Yields:
        Which of the sequences, and their packing.
    """
    start, total = 0, 0
    for number, row in enumerate(rows):
        if number > start and total + len(row) > most:
            yield range(start, number), Packing(tuple(rows[start:number]))
            start, total = number, 0
        total += len(row)
    if rows:
        yield range(start, len(rows)), Packing(tuple(rows[start:]))
