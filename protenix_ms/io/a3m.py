# SPDX-License-Identifier: Apache-2.0
"""a3m alignments: text to rows, rows to residue classes and deletion counts.

Follows upstream's `protenix/data/msa/msa_utils.py` (`MSACore`, `RawMsa`): upper case and '-' are
aligned columns, everything else between them is an insertion that counts as a deletion of the
next column. `plain_rows` first takes out what upstream misreads: '.' only pads columns in which
another row has insertions, and T of RNA means U. What upstream repairs in silence (rows of the
wrong length are cut or filled with alanine, another query is accepted if its length fits) is
refused here by `check_alignment`.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from protenix_ms.constants.restypes import ALIGNMENT_LETTERS
from protenix_ms.errors import InputError
from protenix_ms.io.text_file import read_text, split_lines
from protenix_ms.job import Alignment, PolymerKind
from protenix_ms.typing import Array, Int

_LOWER = string.ascii_lowercase.encode()
_INSERTED = _LOWER + b".*"
_ALLOWED = (string.ascii_letters + "-.*").encode()
_THYMINE_AS_URACIL = bytes.maketrans(b"T", b"U")
# ColabFold's first line: lengths of the distinct chains, and how many copies each has
_COMPLEX = re.compile(r"\s*#([\d,]+)[ \t]+([\d,]+)[ \t]*(?:\r|\n)")


@lru_cache(maxsize=3)
def residue_classes(kind: PolymerKind) -> Int[Array, "256"]:
    """Map every byte to its class (0-31, AF3 SI table 13), or to -1 if it is no aligned column."""
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
        """Keep the first of the rows with the same aligned part (lower case removed)."""
        first: dict[bytes, int] = {}
        for index, row in enumerate(self.rows):
            first.setdefault(row.translate(None, _LOWER), index)
        return A3m([self.names[i] for i in first.values()], [self.rows[i] for i in first.values()])


def read_alignment_file(path: Path, where: str = "") -> Alignment:
    """Read an a3m file, compressed or not; see `read_text`."""
    return Alignment(read_text(path, where, zero_bytes=True), str(path))


def parse_a3m(text: str) -> A3m:
    """Read a3m or FASTA text; '#' lines and text before the first '>' are skipped.

    Characters outside ASCII become '?', which `check_alignment` refuses.
    """
    names: list[str] = []
    parts: list[list[str]] = []
    for line in map(str.strip, split_lines(text)):
        if line[:1] == ">":
            names.append(line[1:])
            parts.append([])
        elif parts and line[:1] != "#":
            parts[-1].append(line)
    return A3m(names, ["".join(part).encode("ascii", "replace") for part in parts])


def plain_rows(rows: list[bytes], kind: PolymerKind) -> list[bytes]:
    """Take '.' and '*' out of rows, which are no residues, and write U for the T of RNA."""
    table = _THYMINE_AS_URACIL if kind == "rna" else None
    return [row.translate(table, b".*") for row in rows]


def encode_rows(
    rows: list[bytes], kind: PolymerKind
) -> tuple[Int[Array, "m n"], Int[Array, "m n"]]:
    """Encode rows that `check_alignment` accepted as classes (int8) and deletion counts (int32).

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
    is_column = residue_classes(kind) >= 0
    for index, row in enumerate(rows):
        if len(row) != width:
            columns = np.flatnonzero(is_column[np.frombuffer(row, np.uint8)])
            deletions[index] = np.diff(columns, prepend=-1) - 1
    return residue_classes(kind)[letters], deletions


def complex_lengths(text: str) -> list[int]:
    """List the chains' lengths of a ColabFold alignment of several chains; of others, nothing."""
    match = _COMPLEX.match(text)
    lengths = [int(word) for word in match[1].split(",") if word] if match else []
    return lengths if len(lengths) > 1 else []


def split_blocks(text: str) -> list[str]:
    """Split an alignment at zero bytes, by which MMseqs2 ends the block of every query."""
    return [block for block in text.split("\0") if block.strip()] or [text.replace("\0", "")]


def first_rows(text: str) -> list[bytes]:
    """Read only the first row of an alignment; the list is empty where there is none."""
    second = re.compile("[\r\n]>").search(text, text.find(">") + 1)
    return parse_a3m(text[: second.start()] if second else text).rows


def check_alignment(
    alignment: Alignment, sequence: str, kind: PolymerKind, where: str
) -> Alignment:
    """Check that an alignment is one of `sequence`: it is the first row, all rows have its length.

    X (or N) on either side of the query matches anything: modified residues are written so.

    Returns:
        The alignment; of several blocks ended by zero bytes those of this sequence.

    Raises:
        InputError: no rows, a foreign character, another query, rows of different length, an
            alignment of several chains.
    """
    where = f"{where}, alignment {alignment.source}"
    if lengths := complex_lengths(alignment.text):
        raise InputError(
            f"this is a ColabFold alignment of {len(lengths)} chains "
            f"({', '.join(map(str, lengths[:9]))} columns)", where=where,
            fix="give it by --msa, which splits it over its chains")
    alignment = replace(alignment, text=_select_blocks(alignment.text, sequence, kind, where))
    a3m = parse_a3m(alignment.text)
    if not a3m.rows:
        raise InputError("the alignment has no rows", where=where,
                         fix="an a3m row starts with a '>' line")
    for number, (name, row) in enumerate(zip(a3m.names, a3m.rows), 1):
        if foreign := row.translate(None, _ALLOWED):
            raise InputError(
                f"row {number} ({name[:40]!a}) has {chr(foreign[0])!a} "
                f"at character {row.index(foreign[:1]) + 1}", where=where,
                fix="rows hold letters, '-' and '.' only")
    _check_query(a3m.rows[0], sequence, kind, where)
    for number, (name, row) in enumerate(zip(a3m.names, a3m.rows), 1):
        columns = len(row.translate(None, _INSERTED))
        if columns != len(sequence):
            raise InputError(
                f"row {number} ({name[:40]!a}) has {columns} columns, "
                f"the chain has {len(sequence)} residues", where=where,
                fix="columns are upper case and '-', insertions lower case")
    return alignment


def _select_blocks(text: str, sequence: str, kind: PolymerKind, where: str) -> str:
    """Join the blocks of an alignment whose query is `sequence`; return a single block as it is."""
    blocks = split_blocks(text)
    if len(blocks) == 1:
        return blocks[0]
    kept = [block for block in blocks
            if any(not len(_differences(row, sequence, kind)) for row in first_rows(block))]
    if not kept:
        raise InputError(
            f"none of its {len(blocks)} blocks (ended by zero bytes) starts with this chain's "
            f"sequence of {len(sequence)} residues", where=where,
            fix="the first row of a block must be the chain's own sequence")
    return "\n".join(kept)


def _differences(row: bytes, sequence: str, kind: PolymerKind) -> Int[Array, "d"]:
    """List the 0-based positions where a query row contradicts the chain; -1 for other lengths."""
    query, chain = (residue_classes(kind)[np.frombuffer(text, np.uint8)]
                    for text in (plain_rows([row], kind)[0], sequence.encode("ascii")))
    query = query[query >= 0]
    if len(query) != len(chain):
        return np.array([-1])
    unknown = ALIGNMENT_LETTERS[kind]["X"]
    return np.flatnonzero((query != chain) & (query != unknown) & (chain != unknown))


def _check_query(row: bytes, sequence: str, kind: PolymerKind, where: str) -> None:
    position = next(iter(_differences(row, sequence, kind).tolist()), None)
    if position is None:
        return
    letters = row.translate(None, _INSERTED).decode()
    message = f"the first row has {len(letters)} columns, the {kind} chain {len(sequence)} residues"
    if position >= 0:
        message = (f"the first row has {letters[position]!r} where the chain has "
                   f"{sequence[position]!r}")
        where = f"{where}, position {position + 1}"
    raise InputError(message, where=where, fix="give the alignment of this very sequence, with "
                     "the sequence as its first row")
