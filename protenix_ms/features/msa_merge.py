# SPDX-License-Identifier: Apache-2.0
"""One alignment for the whole assembly (upstream `FeatureAssemblyLine.assemble`).

Paired rows on top, all chains filled; below them the unpaired rows of all chains side by side,
each chain's own, padded with gaps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protenix_ms.constants.restypes import GAP_INDEX
from protenix_ms.features.msa_chain import ChainMsa
from protenix_ms.features.msa_pairing import pair_by_species
from protenix_ms.typing import Array, Float, Int

MAX_ROWS = 16384


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
    """The merged alignment of all chains, copies included.

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
    filled = _any_residue(paired)
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
    """Rows by index; index -1 gives a row of `absent`."""
    taken = rows[index]
    taken[index < 0] = absent
    return taken


def _any_residue(paired: list[Int[Array, "r _"]]) -> Array:
    """Which paired rows have a residue in any chain."""
    return np.any([(rows != GAP_INDEX).any(axis=1) for rows in paired], axis=0)


def _unpaired_rows(chain: ChainMsa, paired: Int[Array, "r n"]) -> Int[Array, "k"]:
    """Choose the rows of a chain that stand below its paired ones: those that are not among them.

    Rows kept as written stay, but for the first, the query, which is on top already.
    """
    written = np.arange(1, chain.as_written)
    new = _not_in(chain.unpaired, paired)
    return np.concatenate([written, new[new >= chain.as_written]])


def _not_in(rows: Int[Array, "m n"], others: Int[Array, "r n"]) -> Int[Array, "k"]:
    """Indices of `rows` that are not among `others`."""
    known = {row.tobytes() for row in others}
    return np.array([i for i, row in enumerate(rows) if row.tobytes() not in known], np.int64)


def _pad(rows: Int[Array, "m n"], depth: int, fill: int) -> Int[Array, "d n"]:
    return np.pad(rows, ((0, depth - len(rows)), (0, 0)), constant_values=fill)
