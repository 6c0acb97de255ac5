# SPDX-License-Identifier: Apache-2.0
"""Encode the alignments of one chain (upstream `RawMsa`, `FeatureAssemblyLine` step 1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from protenix_ms.constants.restypes import RESTYPES, UNKNOWN_INDEX
from protenix_ms.io.a3m import A3m, encode_rows, parse_a3m, plain_rows
from protenix_ms.job import Alignment, Polymer
from protenix_ms.typing import Array, Float, Int, Shaped

SHORTEST_ALIGNED = 5  # alignments of chains up to four residues are not used
_INT8_MAX = 127
_ROWS_AT_ONCE = 512
# tr|A0A024|A0A024_HUMAN/1-20 -> HUMAN
_UNIPROT = re.compile(
    r"(?:tr|sp)\|[A-Z0-9]{6,10}(?:_\d+)?\|(?:[A-Z0-9]{1,10}_)(?P<species>[A-Z0-9]{1,5})"
)
# UniRef100_A0A024_9606/1-20 -> 9606
_UNIREF = re.compile(r"UniRef100_[^_]+_(?P<species>[^_/]+)")


@dataclass(frozen=True)
class ChainMsa:
    """Alignments of one chain; row 0 of both is the query.

    Attributes:
        kind: polymer type, or "ligand" (one unknown column stands for all its atoms).
        unpaired, unpaired_deletions: rows of this chain alone, without duplicates (int8).
        paired, paired_deletions: rows that may pair with other chains (int8).
        species: species of every paired row, "" where the name tells none.
        profile: frequency of the 32 residue types over the unpaired rows (float32).
        deletion_mean: mean deletion count over the unpaired rows, before clipping to int8.
        as_written: how many unpaired rows, from the first, stand beside the rows of the other
            chains as they were written, so that none may be left out.
    """

    kind: Literal["protein", "dna", "rna", "ligand"]
    unpaired: Int[Array, "m n"]
    unpaired_deletions: Int[Array, "m n"]
    paired: Int[Array, "p n"]
    paired_deletions: Int[Array, "p n"]
    species: Shaped[Array, "p"]
    profile: Float[Array, "n 32"]
    deletion_mean: Float[Array, "n"]
    as_written: int = 0


def encode_ligand() -> ChainMsa:
    """Encode a ligand as one unknown column: upstream writes one per atom, all alike."""
    rows, zeros = np.full((1, 1), UNKNOWN_INDEX, np.int8), np.zeros((1, 1), np.int8)
    species = np.array([""], object)
    return ChainMsa("ligand", rows, zeros, rows, zeros, species, _profile(rows), np.zeros(1))


def encode_polymer(
    polymer: Polymer, *, pairing: bool, use_rna_msa: bool, upstream_quirks: bool = False
) -> ChainMsa:
    """Encode the alignments of a polymer.

    Paired rows count as unpaired rows too and stand before them (upstream
    `msa_pair_as_unpair=True`). DNA never has an alignment. Rows to be kept as written stand
    first and keep their duplicates.

    Args:
        polymer: the chain.
        pairing: whether the job has several different proteins, so that rows can pair.
        use_rna_msa: whether alignments of RNA are used at all.
        upstream_quirks: count '.' as an insertion and read T of RNA as unknown, as upstream does.
    """
    paired, unpaired = polymer.paired_msa, polymer.unpaired_msa
    if len(polymer.sequence) < SHORTEST_ALIGNED or polymer.kind == "dna":
        paired = unpaired = None
    if polymer.kind == "rna":
        paired, unpaired = None, unpaired if use_rna_msa else None
    first, second = (
        A3m(a.names, a.rows if upstream_quirks else plain_rows(a.rows, polymer.kind))
        for a in (_rows(paired), _rows(unpaired))
    )
    query = A3m([""], [polymer.sequence.encode("ascii")])
    if polymer.keep_rows:
        alone = _rows_as_written(second, first)
    else:
        alone = A3m(first.names + second.names, first.rows + second.rows).deduplicated()
    across = first if pairing and first.rows else query
    unpaired_rows, deletions = encode_rows((alone if alone.rows else query).rows, polymer.kind)
    paired_rows, paired_deletions = encode_rows(across.rows, polymer.kind)
    return ChainMsa(
        kind=polymer.kind,
        unpaired=unpaired_rows,
        unpaired_deletions=_clip(deletions),
        paired=paired_rows,
        paired_deletions=_clip(paired_deletions),
        species=species_of(across.names),
        profile=_profile(unpaired_rows),
        deletion_mean=deletions.mean(axis=0),
        as_written=len(second.rows) if polymer.keep_rows else 0,
    )


def species_of(names: list[str]) -> Shaped[Array, "m"]:
    """Find the species of every row name as Python strings, "" where the name tells none.

    The patterns are upstream's (`msa_utils._UNIPROT_REGEX`, `_UNIREF_REGEX`).
    """
    matches = [_UNIPROT.match(name.strip()) or _UNIREF.match(name.strip()) for name in names]
    species = np.empty(len(names), object)
    species[:] = [match["species"] if match else "" for match in matches]
    return species


def _rows_as_written(second: A3m, first: A3m) -> A3m:
    """Join all rows of `second`, and those that only `first` has."""
    if not second.rows:
        return first
    both = A3m(second.names + first.names, second.rows + first.rows).deduplicated()
    new = len(second.deduplicated().rows)
    return A3m(second.names + both.names[new:], second.rows + both.rows[new:])


def _rows(alignment: Alignment | None) -> A3m:
    return parse_a3m(alignment.text) if alignment else A3m([], [])


def _clip(deletions: Int[Array, "m n"]) -> Int[Array, "m n"]:
    """Limit counts to 127, as upstream stores them."""
    return np.minimum(deletions, _INT8_MAX).astype(np.int8)


def _profile(rows: Int[Array, "m n"]) -> Float[Array, "n 32"]:
    """Count residue types in the unpaired rows, before pairing removes any, as upstream does."""
    depth, width = rows.shape
    classes = len(RESTYPES)
    cell = np.arange(width) * classes
    counts = np.zeros(width * classes, np.int64)
    for start in range(0, depth, _ROWS_AT_ONCE):
        part = rows[start : start + _ROWS_AT_ONCE] + cell
        counts += np.bincount(part.ravel(), minlength=width * classes)
    return (counts / depth).astype(np.float32).reshape(width, classes)
