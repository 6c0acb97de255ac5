# SPDX-License-Identifier: Apache-2.0
"""Which rows of different chains stand side by side (upstream `MSAPairingEngine`).

Rows of one species are paired in file order. Species that more chains share come first; within
the same number of chains, rows whose indices are small in all chains come first. Alignments that
name no species at all (ColabFold's) are paired row by row if they have the same number of rows:
upstream pairs nothing then.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from protenix_ms.typing import Array, Int, Shaped

MAX_PER_SPECIES = 600


def pairs_by_row(species: list[Shaped[Array, "_"]]) -> bool:
    """Tell whether the paired alignments of different proteins pair row by row.

    Args:
        species: per protein, the species of each of its paired rows; row 0 is the query.
    """
    several = [column for column in species if len(column) > 1]
    nameless = not any(name for column in several for name in column)
    return len(several) > 1 and nameless and len({len(column) for column in several}) == 1


def without_partner(species: list[Shaped[Array, "_"]]) -> list[int]:
    """Indices of the proteins with paired rows of which no row can be paired with another's."""
    if pairs_by_row(species):
        return []
    named = [{name for name in column if name} for column in species]
    return [
        index for index, column in enumerate(species)
        if len(column) > 1
        and named[index].isdisjoint(set().union(*named[:index], *named[index + 1 :]))
    ]


def number_rows(species: Shaped[Array, "p"]) -> Shaped[Array, "p"]:
    """Stand-ins for species that pair row k with row k; the query has none."""
    numbers = np.empty(len(species), object)
    numbers[:] = ["", *(f"row {row}" for row in range(1, len(species)))]
    return numbers


def pair_by_species(species: list[Shaped[Array, "_"]], max_rows: int) -> Int[Array, "r c"]:
    """Row indices per chain of the paired alignment; -1 where a chain has no such species.

    Args:
        species: per chain, the species of each of its rows; row 0 is the query.
        max_rows: limit of rows, the queries (always first) included.
    """
    rows_of = [_rows_by_species(column) for column in species]
    shared: dict[str, int] = {}
    fewest: dict[str, int] = {}
    for chain in rows_of:
        for name, rows in chain.items():
            shared[name] = shared.get(name, 0) + 1
            fewest[name] = min(fewest.get(name, MAX_PER_SPECIES), len(rows))
    by_count: dict[int, list[str]] = {}
    for name, count in shared.items():
        if name and count > 1:
            by_count.setdefault(count, []).append(name)
    blocks = [np.zeros((1, len(species)), np.int32)]
    total = 0
    for count in sorted(by_count, reverse=True):
        rows = np.concatenate([_block(rows_of, name, fewest[name]) for name in by_count[count]])
        blocks.append(rows[_by_rank(rows)])
        total += len(rows)
        if total >= max_rows:
            break
    return np.concatenate(blocks)[:max_rows]


def _rows_by_species(species: Shaped[Array, "p"]) -> dict[str, Int[Array, "k"]]:
    if len(species) == 1 and not species[0]:
        return {}
    # The same sort call as upstream's: it is not stable, so the order of rows within a species is
    # whatever numpy makes of it, and has to be made the same way.
    order = species.argsort()
    ordered = species[order]
    starts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    groups = np.split(order.astype(np.int32), starts)
    return {ordered[start]: group for start, group in zip([0, *starts], groups)}


def _block(chains: Iterable[dict[str, Array]], name: str, size: int) -> Int[Array, "s c"]:
    absent = np.full(size, -1, np.int32)
    return np.stack([chain.get(name, absent)[:size] for chain in chains], axis=1)


def _by_rank(rows: Int[Array, "s c"]) -> Int[Array, "s"]:
    """Order by the product of row indices (absent counts as 1); ties as numpy's default sort."""
    return np.argsort(np.sum(np.log(np.abs(rows.astype(np.float32)) + 1e-10), axis=1))
