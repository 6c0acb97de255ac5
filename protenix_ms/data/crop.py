# SPDX-License-Identifier: Apache-2.0
"""Crop an assembly: contiguous, spatial, at an interface (AF3 SI 2.7; upstream `cropping`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protenix_ms.features.annotation import AnnotatedAtoms
from protenix_ms.features.tokens import TokenTable
from protenix_ms.geometry.distances import near_pairs, point_distances
from protenix_ms.typing import Array, Bool, Float, Int, Shaped

METHODS = ("contiguous", "spatial", "interface")
INTERFACE_DISTANCE = 15.0  # angstrom between centre atoms
_TIE_BREAK = np.float32(1e-3)  # angstrom per token, added to distances


class EmptyCropError(Exception):
    """No crop of this kind exists here: nothing resolved, or no interface. Draw another row."""


@dataclass(frozen=True)
class CropOptions:
    """How to crop.

    Attributes:
        size: number of tokens, 0 takes the whole assembly.
        weights: of contiguous, spatial and interface crops.
        whole_residues: a ligand or modified residue is taken as a whole or not at all.
        drop_ions: contiguous crops leave out single-atom chains.
    """

    size: int = 256
    weights: tuple[float, float, float] = (0.2, 0.4, 0.4)
    whole_residues: bool = True
    drop_ions: bool = True


@dataclass(frozen=True)
class Crop:
    """Chosen tokens, ascending, the method, and the token around which they lie (-1 none)."""

    tokens: Int[Array, "k"]
    method: str
    centre: int


@dataclass(frozen=True)
class Sites:
    """Points of an assembly: atoms, or the centre atoms of tokens.

    Attributes:
        chain, residue: their numbers.
        kind: type of the chain.
        ion: True where the chain is a single atom.
        resolved: whether the atom has coordinates.
        position: angstrom.
    """

    chain: Int[Array, "n"]
    residue: Int[Array, "n"]
    kind: Shaped[Array, "n"]
    ion: Bool[Array, "n"]
    resolved: Bool[Array, "n"]
    position: Float[Array, "n 3"]

    @staticmethod
    def from_atoms(atoms: AnnotatedAtoms, rows: Int[Array, "n"]) -> Sites:
        """Make sites of some rows."""
        chain = atoms.asym_id[rows]
        return Sites(chain, atoms.ref_space_uid[rows], atoms.chain_type[rows],
                     np.bincount(atoms.asym_id)[chain] == 1, atoms.is_resolved[rows],
                     atoms.coord[rows])

    def __len__(self) -> int:
        return len(self.chain)

    def near(self, radius: float) -> Int[Array, "p 2"]:
        """List ordered pairs of resolved sites of different chains within `radius`."""
        rows = np.flatnonzero(self.resolved)
        pairs = rows[near_pairs(self.position[rows], self.position[rows], radius)]
        across: Bool[Array, "p"] = self.chain[pairs[:, 0]] != self.chain[pairs[:, 1]]
        return pairs[across]


def draw_crop(
    atoms: AnnotatedAtoms, tokens: TokenTable, chains: Sequence[str], options: CropOptions,
    rng: np.random.Generator,
) -> Crop:  # fmt: skip
    """Draw a crop of the chain, or pair of chains, that was sampled.

    Args:
        chains: names of the sampled chain or of both chains of the sampled interface.

    Raises:
        EmptyCropError: there is none of the drawn method.
    """
    if options.size <= 0:
        return Crop(np.arange(len(tokens)), "whole", -1)
    sites = Sites.from_atoms(atoms, tokens.centre_atom)
    weights = np.asarray(options.weights, np.float64)
    method = METHODS[int(rng.choice(len(METHODS), p=weights / weights.sum()))]
    if method == "contiguous":
        return Crop(contiguous_tokens(sites, options, rng), method, -1)
    reference = np.isin(atoms.chain_id[tokens.centre_atom], list(chains))
    candidates = centre_candidates(sites, reference, interface=method == "interface")
    if not len(candidates):
        raise EmptyCropError(f"no resolved token for a crop of kind {method}")
    centre = int(candidates[rng.integers(len(candidates))])
    return Crop(spatial_tokens(sites, centre, options.size, options.whole_residues), method, centre)


def centre_candidates(
    sites: Sites, reference: Bool[Array, "n"], interface: bool
) -> Int[Array, "c"]:
    """List the tokens of the sampled chains around which a spatial crop may lie.

    With `interface`, those within 15 angstrom of a token of another chain; a single sampled
    chain that has none falls back to all its resolved tokens.
    """
    resolved = np.flatnonzero(reference & sites.resolved)
    if not interface:
        return resolved
    limit = float(np.nextafter(INTERFACE_DISTANCE, 0))  # nearer than, not as near as
    at_interface = resolved[np.isin(resolved, sites.near(limit)[:, 0])]
    alone = len(np.unique(sites.chain[reference])) == 1
    return resolved if alone and not len(at_interface) else at_interface


def spatial_tokens(sites: Sites, centre: int, size: int, whole_residues: bool) -> Int[Array, "k"]:
    """Choose the `size` tokens nearest to a token; unresolved ones come last, ties by order."""
    position = sites.position.astype(np.float64)
    reach = point_distances(position, position[[centre]])[:, 0].astype(np.float32)
    reach = np.where(sites.resolved, reach, np.float32(np.inf))
    reach = reach + np.arange(len(sites), dtype=np.float32) * _TIE_BREAK
    chosen = np.sort(np.argsort(reach, kind="stable")[:size])
    if not whole_residues:
        return chosen
    left_out = np.delete(np.arange(len(sites)), chosen)
    return chosen[~np.isin(sites.residue[chosen], sites.residue[left_out])]


def contiguous_tokens(
    sites: Sites, options: CropOptions, rng: np.random.Generator
) -> Int[Array, "k"]:
    """Choose at most `size` tokens: one stretch of each chain, chains in random order.

    AlphaFold-Multimer algorithm 1; upstream `get_continues_crop_index`. Draws, in upstream's
    order: a permutation of the chains; per chain the length of its stretch, its start, and with
    `whole_residues` a coin where a cut residue could go or stay.
    """
    chains, offsets, lengths = np.unique(sites.chain, return_index=True, return_counts=True)
    left = len(sites) - (int(sites.ion.sum()) if options.drop_ions else 0)
    ends = _residue_ends(sites.residue)
    chosen: list[Int[Array, "_"]] = [np.zeros(0, np.int64)]
    taken = 0
    for index in rng.permutation(len(chains)).tolist():
        if taken >= options.size:
            break
        offset, length = int(offsets[index]), int(lengths[index])
        if options.drop_ions and sites.ion[offset]:
            continue
        left -= length
        least = min(length, max(0, options.size - (taken + left)))
        most = min(options.size - taken, length)
        stretch = int(rng.integers(least, most + 1))
        start = offset + int(rng.integers(0, length - stretch + 1))
        stop = start + stretch
        if options.whole_residues and stretch:
            start, stop = _snap(ends, start, stop, (least, options.size - taken), rng)
        chosen.append(np.arange(start, stop))
        taken += stop - start
    return np.sort(np.concatenate(chosen))


def _residue_ends(residue: Int[Array, "n"]) -> Int[Array, "2 n"]:
    """Find the first and last token of the residue of every token."""
    _, first, inverse = np.unique(residue, return_index=True, return_inverse=True)
    last = len(residue) - 1 - np.unique(residue[::-1], return_index=True)[1]
    return np.stack([first[inverse], last[inverse]])


def _snap(
    ends: Int[Array, "2 n"], start: int, stop: int, sizes: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[int, int]:  # fmt: skip
    """Move the ends of a stretch to the borders of residues that have several tokens.

    Args:
        sizes: fewest and most tokens that the stretch should have; kept if possible.
    """
    least, most = sizes
    first, last = ends.tolist()
    cut_start, cut_stop = first[start] != start, last[stop - 1] != stop - 1
    if cut_start and cut_stop:  # the residue at the start is always taken
        start, cut_start = first[start], False
    if cut_stop:
        before = first[stop - 1]
        fitting = [end for end in (before, last[stop - 1] + 1) if least <= end - start <= most]
        if fitting:
            return start, _either(fitting, rng)
        while before - start > most and before > start:
            before = first[before - 1]
        return start, before
    if cut_start:
        places = first[start], last[start] + 1
        fitting = [begin for begin in places if least <= stop - begin <= most]
        return _either(fitting, rng) if fitting else places[1], stop
    return start, stop


def _either(places: list[int], rng: np.random.Generator) -> int:
    return places[int(rng.integers(0, 2))] if len(places) == 2 else places[0]
