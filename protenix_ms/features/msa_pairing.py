# SPDX-License-Identifier: Apache-2.0
"""Pair rows of different chains, and merge all chains into one alignment.

Upstream: `MSAPairingEngine`, `FeatureAssemblyLine.assemble`. Rows of one species are paired in
file order. Species that more chains share come first; within the same number of chains, rows
whose indices are small in all chains come first. Alignments that name no species at all
(ColabFold's) are paired row by row if they have the same number of rows; upstream pairs nothing
then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from protenix_ms.constants.restypes import GAP_INDEX
from protenix_ms.features.msa_chain import ChainMsa
from protenix_ms.typing import Array, Float, Int, Shaped

MAX_ROWS = 16384
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
    """List the proteins with paired rows of which none can be paired with another's."""
    if pairs_by_row(species):
        return []
    named = [{name for name in column if name} for column in species]
    return [
        index for index, column in enumerate(species)
        if len(column) > 1
        and named[index].isdisjoint(set().union(*named[:index], *named[index + 1 :]))
    ]


def number_rows(species: Shaped[Array, "p"]) -> Shaped[Array, "p"]:
    """Name rows by number in place of species, so that row k pairs with row k."""
    numbers = np.empty(len(species), object)
    numbers[:] = ["", *(f"row {row}" for row in range(1, len(species)))]
    return numbers


def pair_by_species(species: list[Shaped[Array, "_"]], max_rows: int) -> Int[Array, "r c"]:
    """Choose the rows of the paired alignment; -1 where a chain has no row of a species.

    Args:
        species: per chain, the species of each of its rows; row 0 is the query.
        max_rows: limit of rows, the queries (always first) included.
    """
    by_species = [_rows_by_species(column) for column in species]
    shared: dict[str, int] = {}
    fewest: dict[str, int] = {}
    for chain in by_species:
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
        rows = np.concatenate([_block(by_species, name, fewest[name]) for name in by_count[count]])
        blocks.append(rows[_by_rank(rows)])
        total += len(rows)
        if total >= max_rows:
            break
    return np.concatenate(blocks)[:max_rows]


def _rows_by_species(species: Shaped[Array, "p"]) -> dict[str, Int[Array, "k"]]:
    if len(species) == 1 and not species[0]:
        return {}
    # The same sort call as upstream's: it is not stable, so the order of rows within a species is
    # whatever numpy makes of it, and has to come from the same call.
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


@dataclass(frozen=True)
class MergedMsa:
    """Alignment over the columns of all chains, one chain after the other.

    Attributes:
        rows: residue types (int8).
        deletions: deletion counts, saturated at 127 (int8).
        profile, deletion_mean: of every chain's own unpaired alignment.
        paired_depth: number of paired rows, on top.
        unpaired_depth: deepest unpaired alignment by kind of chain, at least 1.
    """

    rows: Int[Array, "m w"]
    deletions: Int[Array, "m w"]
    profile: Float[Array, "w 32"]
    deletion_mean: Float[Array, "w"]
    paired_depth: int
    unpaired_depth: dict[str, int]


def merge(chains: list[ChainMsa], *, pairing: bool, max_rows: int = MAX_ROWS) -> MergedMsa:
    """Merge the alignments of all chains, copies included.

    Paired rows stand on top, over all chains; below them the unpaired rows of all chains side by
    side, each chain's own, padded with gaps.

    Args:
        chains: one per chain of the assembly.
        pairing: whether rows pair by species (the job has several different proteins).
        max_rows: limit of rows; at most half of them are paired.
    """
    if pairing:
        index = pair_by_species([chain.species for chain in chains], max_rows // 2)
    else:
        index = np.zeros((1, len(chains)), np.int32)
    paired = [_take(chain.paired, index[:, i], GAP_INDEX) for i, chain in enumerate(chains)]
    deletions = [_take(chain.paired_deletions, index[:, i], 0) for i, chain in enumerate(chains)]
    filled = np.any([(rows != GAP_INDEX).any(axis=1) for rows in paired], axis=0)
    left = max_rows - int(filled.sum())
    kept = [
        (_unpaired_rows(chain, rows) if pairing else np.arange(len(chain.unpaired)))[:left]
        for chain, rows in zip(chains, paired)
    ]
    depth = max(len(rows) for rows in kept)
    columns, deletion_columns = [], []
    for chain, rows, counts, own in zip(chains, paired, deletions, kept):
        block = np.concatenate([rows[filled], _pad(chain.unpaired[own], depth, GAP_INDEX)])
        if chain.kind != "protein":
            # a gap in a nucleic acid or ligand would say "missing"; the query says "as it is"
            block[(block == GAP_INDEX).all(axis=1)] = block[0]
        columns.append(block)
        deletion_columns.append(
            np.concatenate([counts[filled], _pad(chain.unpaired_deletions[own], depth, 0)])
        )
    depths = {"protein": 1, "rna": 1}
    for chain, own in zip(chains, kept):
        depths[chain.kind] = max(depths.get(chain.kind, 1), len(own))
    return MergedMsa(
        rows=np.concatenate(columns, axis=1),
        deletions=np.concatenate(deletion_columns, axis=1),
        profile=np.concatenate([chain.profile for chain in chains]),
        deletion_mean=np.concatenate([chain.deletion_mean for chain in chains]),
        paired_depth=int(filled.sum()),
        unpaired_depth=depths,
    )


def _take(rows: Int[Array, "p n"], index: Int[Array, "r"], absent: int) -> Int[Array, "r n"]:
    """Take rows by index; index -1 gives a row of `absent`."""
    taken = rows[index]
    taken[index < 0] = absent
    return taken


def _unpaired_rows(chain: ChainMsa, paired: Int[Array, "r n"]) -> Int[Array, "k"]:
    """Choose the rows of a chain that stand below its paired ones: those that are not among them.

    Rows kept as written stay, but for the first, the query, which is on top already.
    """
    known = {row.tobytes() for row in paired}
    new = [i for i, row in enumerate(chain.unpaired)
           if i >= chain.as_written and row.tobytes() not in known]
    return np.array([*range(1, chain.as_written), *new], np.int64)


def _pad(rows: Int[Array, "m n"], depth: int, fill: int) -> Int[Array, "d n"]:
    return np.pad(rows, ((0, depth - len(rows)), (0, 0)), constant_values=fill)
