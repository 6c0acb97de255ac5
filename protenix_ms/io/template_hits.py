# SPDX-License-Identifier: Apache-2.0
"""Hits of template searches: a3m files of hmmsearch and hhr files of HHsearch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from protenix_ms.errors import InputError
from protenix_ms.io.text_file import plain_suffix, read_text, split_lines
from protenix_ms.typing import Array, Int

HIT_SUFFIXES = (".a3m", ".hhr")
# 102m_A/2-147 [subseq from] mol:protein length:154  MYOGLOBIN
_HMMSEARCH = re.compile(r"(?P<name>[a-zA-Z0-9]+_\w+)/(?P<start>\d+)-\d+.*protein length:\d+")
_ENTRY = re.compile(r"(?P<entry>[a-zA-Z\d]{4})_(?P<chain>[a-zA-Z0-9.]+)")
_SUMMARY = re.compile(r"Aligned_cols=(\d+).*Sum_probs=([0-9.]+)")
_HHR_ROW = re.compile(r"\s+(\d+)\s+([A-Z-]+)")
_HHR_NAMES = 17  # columns of a row that hold "Q" or "T" and the name
_NUMBER = re.compile(r"No \d+\s*")


@dataclass(frozen=True)
class TemplateHit:
    """A chain of a deposited structure that a search found for a query.

    Attributes:
        name: entry and chain as the file has them, like "102m_A".
        entry: lower-case entry id; "" if the name tells none.
        chain: the author's chain name.
        aligned: number of aligned columns.
        sum_probs: HHsearch's measure of quality; 0 for hmmsearch, whose files are sorted.
        sequence: the hit's residues that the search aligned, insertions included, upper case.
        query_positions, hit_positions: aligned residues, 0-based in query and in the hit's chain.
    """

    name: str
    entry: str
    chain: str
    aligned: int
    sum_probs: float
    sequence: str
    query_positions: Int[Array, "p"] = field(compare=False)
    hit_positions: Int[Array, "p"] = field(compare=False)


@dataclass(frozen=True)
class HitList:
    """The hits of a file, and how many of its rows are none, with the first of those."""

    hits: tuple[TemplateHit, ...]
    skipped: int = 0
    first_skipped: str = ""


def read_hits(path: Path, where: str = "") -> HitList:
    """Read an a3m file of hmmsearch or an hhr file; an empty a3m file has no hits.

    Raises:
        InputError: unreadable, another suffix, or not one row is a hit.
    """
    where = where or str(path)
    kind = plain_suffix(path)
    if kind not in HIT_SUFFIXES:
        raise InputError(f"template hits in a file {path.suffix!r} are not read", where=where,
                         fix=f"give {' or '.join(HIT_SUFFIXES)}")
    text = read_text(path, where)
    listed = _read_hmmsearch(text) if kind == ".a3m" else _read_hhr(text)
    if listed is None:
        raise InputError(f"{path} is not an hhr file", where=where,
                         fix="give the file that hhsearch or hhalign writes with -o")
    if listed.skipped and not listed.hits:
        wanted = ("headers like >102m_A/2-147 [subseq from] mol:protein length:154" if kind ==
                  ".a3m" else "blocks with a name, Aligned_cols= and Sum_probs=")
        raise InputError(
            f"none of {listed.skipped} rows of {path} is a template hit, the first is "
            f"{listed.first_skipped[:60]!r}", where=where, fix=f"give a file with {wanted}")
    return listed


def _hit(name: str, aligned: int, sum_probs: float, rows: tuple[str, str, int, int]) -> TemplateHit:
    """Make a hit from its two aligned rows (gaps "-", insertions in lower case) and their starts.

    Args:
        rows: row of the query, row of the hit, 0-based number of the first residue of each.
    """
    matched = _ENTRY.match(name)
    entry, chain = (matched["entry"].lower(), matched["chain"]) if matched else ("", "")
    letters = rows[1].replace("-", "").upper()
    query, hit = (np.frombuffer(row.encode("ascii", "replace"), "S1") for row in rows[:2])
    places = [np.cumsum(row != b"-") - 1 + start for row, start in zip((query, hit), rows[2:])]
    both = (query != b"-") & (hit != b"-")
    return TemplateHit(matched[0] if matched else name[:40], entry, chain, aligned, sum_probs,
                       letters, places[0][both], places[1][both])


def _read_hmmsearch(text: str) -> HitList:
    """Read rows whose upper-case letters and gaps stand for the residues of the query."""
    rows: list[tuple[str, list[str]]] = []
    for line in map(str.strip, split_lines(text)):
        if line.startswith(">"):
            rows.append((line[1:].strip(), []))
        elif rows and not line.startswith("#"):
            rows[-1][1].append(line)
    hits, skipped = [], []
    for header, parts in rows:
        matched = _HMMSEARCH.match(header)
        if not matched or "mol:protein" not in header:
            skipped.append(header)
            continue
        row = "".join(parts)
        query = "".join("-" if letter.islower() else "X" for letter in row)
        aligned = sum(letter.isupper() for letter in row)
        start = int(matched["start"][:9]) - 1
        hits.append(_hit(matched["name"], aligned, 0.0, (query, row, 0, start)))
    return HitList(tuple(hits), len(skipped), skipped[0] if skipped else "")


def _read_hhr(text: str) -> HitList | None:
    """Read the blocks of an hhr file; None if it has not even a head."""
    lines = split_lines(text)
    starts = [i for i, line in enumerate(lines) if _NUMBER.fullmatch(line)]
    if not starts and not any(line.startswith("Query ") for line in lines):
        return None
    hits, skipped = [], []
    for start, end in zip(starts, [*starts[1:], len(lines)]):
        block = lines[start + 1:end]
        summary = _SUMMARY.search(block[1]) if len(block) > 1 else None
        query, hit = _hhr_rows(block[2:], "Q"), _hhr_rows(block[2:], "T")
        if summary is None or not query[0] or len(query[0]) != len(hit[0]):
            skipped.append(block[0] if block else lines[start])
            continue
        hits.append(_hit(block[0][1:].strip(), int(summary[1][:9]), _number(summary[2]),
                         (query[0], hit[0], query[1], hit[1])))
    return HitList(tuple(hits), len(skipped), skipped[0] if skipped else "")


def _hhr_rows(block: list[str], side: str) -> tuple[str, int]:
    """Join the rows of the query ("Q") or the hit ("T"); 0-based number of the first residue."""
    left_out = tuple(f"{side} {name}" for name in ("ss_", "Consensus"))
    rows = [_HHR_ROW.search(line[_HHR_NAMES:]) for line in block
            if line.startswith(f"{side} ") and not line.startswith(left_out)]
    parts = [row for row in rows if row]
    start = int(parts[0][1][:9]) - 1 if parts else 0
    return "".join(row[2] for row in parts), start


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
