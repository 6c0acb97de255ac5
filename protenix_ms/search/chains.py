# SPDX-License-Identifier: Apache-2.0
"""From the hits of a chain to its alignments: paired rows, unpaired rows, each row once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from protenix_ms.features.msa_chain import species_of
from protenix_ms.features.msa_pairing import MAX_ROWS, pair_by_species
from protenix_ms.io.a3m import A3m

_TAXON = re.compile(r"TaxID=(\d+)")
_LOWER = bytes(range(ord("a"), ord("z") + 1))


def join(parts: Iterable[A3m]) -> A3m:
    """Put rows below each other."""
    parts = list(parts)
    return A3m([name for part in parts for name in part.names],
               [row for part in parts for row in part.rows])


def distinct(rows: A3m, sequence: str, others: A3m | None = None) -> A3m:
    """Keep the first of rows with equal columns, none that equals the query or a row of `others`.

    Rows without a residue are left out.
    """
    seen = {sequence.encode(), *(_columns(row) for row in (others.rows if others else ()))}
    kept = A3m([], [])
    for name, row in zip(rows.names, rows.rows):
        columns = _columns(row)
        if columns not in seen and columns.translate(None, b"-"):
            seen.add(columns)
            kept.names.append(name)
            kept.rows.append(row)
    return kept


def _columns(row: bytes) -> bytes:
    return row.translate(None, _LOWER)


def split_by_taxon(rows: A3m) -> tuple[A3m, A3m]:
    """Split the hits of UniRef into those whose header tells a species (``TaxID=``), and others.

    The first get the only form of name from which species are read: ``UniRef100_ACC_TAXON/``.
    """
    paired, unpaired = A3m([], []), A3m([], [])
    for name, row in zip(rows.names, rows.rows):
        taxon = _TAXON.search(name)
        part = paired if taxon else unpaired
        if taxon:
            word, _, rest = name.partition(" ")
            accession, _, span = word.rpartition("_")[2].partition("/")
            name = f"UniRef100_{accession}_{taxon[1]}/{span} {rest}"
        part.names.append(name)
        part.rows.append(row)
    return paired, unpaired


def count_pairs(paired: Sequence[A3m]) -> list[int]:
    """Count, for every protein of a job, its rows that pair with a row of another protein."""
    if len(paired) < 2:
        return [0] * len(paired)
    species = [np.array(["", *species_of(rows.names)], object) for rows in paired]
    index = pair_by_species(species, MAX_ROWS // 2)[1:]
    together = index[(index >= 0).sum(axis=1) > 1]
    return [int((together[:, i] >= 0).sum()) for i in range(len(paired))]
