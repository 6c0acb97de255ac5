# SPDX-License-Identifier: Apache-2.0
"""ColabFold's alignment of several chains in one file, taken apart into the chains' own.

The first line is ``#21,20<TAB>1,2``: lengths of the distinct chains and how many copies each has.
Every row runs over the columns of all distinct chains, whatever their numbers of copies. Rows with
residues in several chains are paired; the others belong to one chain, with gaps for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protenix_ms.errors import InputError
from protenix_ms.io.a3m import complex_lengths, parse_a3m, residue_classes
from protenix_ms.job import Alignment

_GAPS = b"-.*"


@dataclass(frozen=True)
class ChainPart:
    """The columns of one chain of a complex.

    Attributes:
        query: its sequence.
        paired: rows paired with other chains, row k of every chain belonging together; None where
            there are none beside the queries.
        unpaired: rows of this chain alone, None where there are none.
    """

    query: str
    paired: Alignment | None
    unpaired: Alignment | None


def split_complex(alignment: Alignment) -> list[ChainPart]:
    """Split the rows of a ColabFold alignment over its chains.

    Rows of the paired parts are named ``row_<k>``: a name that tells a species would pair them by
    species, not by row.

    Raises:
        InputError: a row of another number of columns, a chain without a query row.
    """
    lengths = complex_lengths(alignment.text)
    a3m = parse_a3m(alignment.text.replace("\0", ""))
    paired: list[list[str]] = [[] for _ in lengths]
    unpaired: list[list[str]] = [[] for _ in lengths]
    queries = [""] * len(lengths)
    pairs = 0
    for number, (name, row) in enumerate(zip(a3m.names, a3m.rows), 1):
        pieces = _cut(row, lengths, f"{alignment.source}, row {number}")
        chains = [chain for chain, piece in enumerate(pieces) if piece.translate(None, _GAPS)]
        several = len(chains) > 1
        names = name.split("\t") if several else [name]
        for chain in range(len(lengths)) if several else chains:
            text = pieces[chain].decode()
            queries[chain] = queries[chain] or text
            own = names[chain] if len(names) == len(lengths) else names[0]
            if several:
                paired[chain].append(f">row_{pairs} {own}\n{text}\n")
            else:
                if not unpaired[chain] and text != queries[chain]:  # no query row of its own
                    unpaired[chain].append(f">query\n{queries[chain]}\n")
                unpaired[chain].append(f">{own}\n{text}\n")
        pairs += several
    if "" in queries:
        raise InputError(f"chain {queries.index('') + 1} of {len(lengths)} has no row",
                         where=alignment.source,
                         fix="the first row must hold the sequences of all chains")
    return [ChainPart("".join(filter(str.isupper, query)),
                      Alignment("".join(rows), alignment.source) if len(rows) > 1 else None,
                      Alignment("".join(alone), alignment.source) if alone else None)
            for query, rows, alone in zip(queries, paired, unpaired)]


def join_equal_chains(parts: list[ChainPart]) -> dict[str, ChainPart]:
    """Join the rows of chains of one sequence, which share one alignment; keys are sequences.

    Row k of the first such chain stays paired with row k of other chains. A chain has one row per
    pairing, so the paired rows of its equals join the unpaired ones.
    """
    joined: dict[str, ChainPart] = {}
    for part in parts:
        first = joined.setdefault(part.query, part)
        rows = [a for a in (first.unpaired, part.paired, part.unpaired) if a]
        if first is not part and rows:
            unpaired = Alignment("".join(a.text for a in rows), rows[0].source)
            joined[part.query] = ChainPart(part.query, first.paired, unpaired)
    return joined


def _cut(row: bytes, lengths: list[int], where: str) -> list[bytes]:
    """Cut a row behind the last column of every chain; insertions open the next chain's piece."""
    letters = np.frombuffer(row, np.uint8)
    columns = np.flatnonzero(residue_classes("protein")[letters] >= 0)
    if len(columns) != sum(lengths):
        raise InputError(
            f"it has {len(columns)} columns, the chains have {sum(lengths)}", where=where,
            fix="rows of a ColabFold alignment run over the columns of all distinct chains")
    ends = [columns[end - 1] + 1 for end in np.cumsum(lengths)[:-1]]
    return [row[first:last] for first, last in zip([0, *ends], [*ends, len(row)])]
