# SPDX-License-Identifier: Apache-2.0
"""a3m alignments: text to rows, rows to residue classes and deletion counts.

Follows upstream's `protenix/data/msa/msa_utils.py` (`MSACore`, `RawMsa`): upper case and '-' are
aligned columns, everything else between them is an insertion that counts as a deletion of the
next column. What upstream repairs in silence (rows of the wrong length are cut or filled with
alanine, another query is accepted if its length fits) is refused here by `check_alignment`.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from protenix_ms.constants.restypes import ALIGNMENT_LETTERS
from protenix_ms.errors import InputError
from protenix_ms.job import Alignment, PolymerKind
from protenix_ms.typing import Array, Int

_LOWER = string.ascii_lowercase.encode()
_INSERTED = _LOWER + b".*"
_ALLOWED = (string.ascii_letters + "-.*").encode()


@lru_cache(maxsize=3)
def residue_classes(kind: PolymerKind) -> Int[Array, "256"]:
    """Class (0-31, AF3 SI table 13) of every byte, -1 for bytes that are not aligned columns."""
    table = np.full(256, -1, np.int8)
    for letter, index in ALIGNMENT_LETTERS[kind].items():
        table[ord(letter)] = index
    table.flags.writeable = False
    return table


@dataclass(frozen=True)
class A3m:
    """Names and rows of an alignment, in file order; the first row is the query."""

    names: list[str]
    rows: list[bytes]

    def deduplicated(self) -> A3m:
        """Rows whose aligned part (lower case removed) was not seen before."""
        seen: set[bytes] = set()
        kept = []
        for index, row in enumerate(self.rows):
            aligned = row.translate(None, _LOWER)
            if aligned not in seen:
                seen.add(aligned)
                kept.append(index)
        return A3m([self.names[i] for i in kept], [self.rows[i] for i in kept])


def parse_a3m(text: str) -> A3m:
    """Names and rows of a3m or FASTA text; '#' lines and text before the first '>' are skipped.

    Characters outside ASCII become '?', which `check_alignment` refuses.
    """
    names: list[str] = []
    parts: list[list[str]] = []
    for line in text.splitlines():
        line = line.strip()
        if not line or line[0] == "#":
            continue
        if line[0] == ">":
            names.append(line[1:])
            parts.append([])
        elif parts:
            parts[-1].append(line)
    return A3m(names, ["".join(part).encode("ascii", "replace") for part in parts])


def _columns(rows: list[bytes]) -> Int[Array, "m"]:
    """Number of aligned columns of every row."""
    return np.array([len(row.translate(None, _INSERTED)) for row in rows], np.int64)


def encode_rows(
    rows: list[bytes], kind: PolymerKind
) -> tuple[Int[Array, "m n"], Int[Array, "m n"]]:
    """Classes (int8) and deletion counts (int32) of rows that `check_alignment` accepted.

    A deletion count is the number of insertion characters since the previous aligned column.

    Raises:
        InputError: rows of different length.
    """
    aligned = [row.translate(None, _INSERTED) for row in rows]
    width = len(aligned[0])
    if any(len(row) != width for row in aligned):
        raise InputError("the rows of an alignment differ in length", fix="check the a3m file")
    letters = np.frombuffer(b"".join(aligned), np.uint8).reshape(len(rows), width)
    deletions = np.zeros((len(rows), width), np.int32)
    column = residue_classes(kind) >= 0
    for index, row in enumerate(rows):
        if len(row) != width:
            place = np.flatnonzero(column[np.frombuffer(row, np.uint8)])
            deletions[index] = np.diff(place, prepend=-1) - 1
    return residue_classes(kind)[letters], deletions


def check_alignment(
    alignment: Alignment, sequence: str, kind: PolymerKind, where: str
) -> Alignment:
    """The alignment itself if its first row is `sequence` and every row has its length.

    X (or N) on either side of the query matches anything: modified residues are written so.

    Raises:
        InputError: no rows, a foreign character, another query, rows of different length.
    """
    where = f"{where}, alignment {alignment.source}"
    a3m = parse_a3m(alignment.text)
    if not a3m.rows:
        raise InputError(
            "the alignment has no rows", where=where, fix="an a3m row starts with a '>' line"
        )
    for index, row in enumerate(a3m.rows):
        if foreign := row.translate(None, _ALLOWED):
            raise InputError(
                f"row {index + 1} ({a3m.names[index][:40]!a}) has {chr(foreign[0])!a} "
                f"at character {row.index(foreign[:1]) + 1}",
                where=where,
                fix="rows hold letters, '-' and '.' only",
            )
    _check_query(a3m.rows[0], sequence, kind, where)
    columns = _columns(a3m.rows)
    wrong = np.flatnonzero(columns != len(sequence))
    if len(wrong):
        row = int(wrong[0])
        raise InputError(
            f"row {row + 1} ({a3m.names[row][:40]!a}) has {columns[row]} columns, "
            f"the chain has {len(sequence)} residues",
            where=where,
            fix="columns are upper case and '-', insertions lower case",
        )
    return alignment


def _check_query(row: bytes, sequence: str, kind: PolymerKind, where: str) -> None:
    fix = "give the alignment of this very sequence, with the sequence as its first row"
    table = residue_classes(kind)
    query = table[np.frombuffer(row, np.uint8)]
    query = query[query >= 0]
    chain = table[np.frombuffer(sequence.encode("ascii"), np.uint8)]
    if len(query) != len(chain):
        raise InputError(
            f"the first row has {len(query)} columns, the {kind} chain {len(chain)} residues",
            where=where,
            fix=fix,
        )
    unknown = ALIGNMENT_LETTERS[kind]["X"]
    differ = np.flatnonzero((query != chain) & (query != unknown) & (chain != unknown))
    if len(differ):
        position = int(differ[0])
        letter = row.translate(None, _INSERTED)[position : position + 1].decode()
        raise InputError(
            f"the first row has {letter!r} where the chain has {sequence[position]!r}",
            where=f"{where}, position {position + 1}",
            fix=fix,
        )
