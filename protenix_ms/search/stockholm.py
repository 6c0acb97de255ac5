# SPDX-License-Identifier: Apache-2.0
"""Alignments as HMMER writes and reads them (Stockholm), and as everything else here does (a3m)."""

from __future__ import annotations

import re

import numpy as np

from protenix_ms.io.a3m import A3m
from protenix_ms.io.text_file import split_lines
from protenix_ms.typing import Array, Bool

_GAPS = b"-."
_COLUMN = re.compile(rb"[a-z]*(?:[^a-z]|$)")


def parse_stockholm(text: str) -> A3m:
    """Read the rows of a Stockholm text; names are followed by their descriptions.

    An empty text, which HMMER writes when nothing is found, has no rows.
    """
    parts: dict[str, list[str]] = {}
    descriptions: dict[str, str] = {}
    for line in split_lines(text):
        if line.startswith("#=GS "):
            _, name, feature, *rest = line.split(maxsplit=3)
            if feature == "DE":
                descriptions[name] = "".join(rest).strip()
        elif line and line[0] not in "#/":
            name, row = line.split(maxsplit=1)
            parts.setdefault(name, []).append(row.strip())
    return A3m([f"{name} {descriptions.get(name, '')}" for name in parts],
               ["".join(part).encode("ascii", "replace") for part in parts.values()])


def to_query_columns(aligned: A3m) -> A3m:
    """Write rows over the columns of the first row: other columns become insertions."""
    if not aligned.rows:
        return aligned
    letters = np.frombuffer(aligned.rows[0], np.uint8)
    inserted = (letters == ord("-")) | (letters == ord("."))
    return A3m(aligned.names, [_over(row, inserted) for row in aligned.rows])


def _over(row: bytes, inserted: Bool[Array, "w"]) -> bytes:
    upper, lower = (np.frombuffer(text, np.uint8) for text in (row.upper(), row.lower()))
    gap = (upper == ord("-")) | (upper == ord("."))
    letters = np.where(inserted, lower, np.where(gap, ord("-"), upper)).astype(np.uint8)
    return bytes(letters[~(inserted & gap)])


def profile_stockholm(rows: A3m) -> str:
    """Write a3m rows as a Stockholm text whose model columns are the residues of the first row.

    Insertions get columns of their own, those of all rows flush left, as upstream lays them out.
    """
    cells = [[cell for cell in _COLUMN.findall(row) if cell] for row in rows.rows]
    cells = [row if row and not row[-1][-1:].islower() else [*row, b""] for row in cells]
    depth = max(map(len, cells), default=0)
    cells = [row + [b""] * (depth - len(row)) for row in cells]
    lengths = [max(len(_insertion(row[i])) for row in cells) for i in range(depth)]
    lines = [b"".join(_insertion(cell).upper().ljust(width, b"-") + cell[len(_insertion(cell)):]
                      for cell, width in zip(row, lengths)).decode() for row in cells]
    names = [f"{(name.split() or ['row'])[0]}_{i}" for i, name in enumerate(rows.names)]
    width = max(map(len, [*names, "#=GC RF"]))
    body = [f"{name:<{width}} {line}" for name, line in zip(names, lines)]
    model = re.sub("[^.]", "x", lines[0].replace("-", "."))
    return "\n".join(["# STOCKHOLM 1.0", "", *body, f"{'#=GC RF':<{width}} {model}", "//", ""])


def _insertion(cell: bytes) -> bytes:
    return re.match(rb"[a-z]*", cell)[0]  # type: ignore[index]


def a3m_text(rows: A3m, width: int = 0) -> str:
    """Write rows as a3m text, `width` letters a line (0: one line a row)."""
    lines = []
    for name, row in zip(rows.names, rows.rows):
        text = row.decode("ascii")
        step = width or max(len(text), 1)
        lines += [f">{name}", *(text[i:i + step] for i in range(0, len(text), step))]
    return "\n".join([*lines, ""])
