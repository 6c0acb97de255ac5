# SPDX-License-Identifier: Apache-2.0
"""Crops of an assembly: contiguous, spatial, at an interface (AF3 SI 2.7; upstream `cropping`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.data.contiguous import contiguous_tokens
from protenix_ms.data.token_view import TokenView
from protenix_ms.features.tokens import TokenTable
from protenix_ms.geometry.distances import near_pairs, point_distances
from protenix_ms.typing import Array, Bool, Float, Int

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


def draw_crop(
    atoms: AtomTable,
    tokens: TokenTable,
    chains: Sequence[str],
    options: CropOptions,
    rng: np.random.Generator,
) -> Crop:
    """A random crop of the chain, or pair of chains, that was sampled.

    Args:
        chains: names of the sampled chain or of both chains of the sampled interface.

    Raises:
        EmptyCropError: there is none of the drawn method.
    """
    if options.size <= 0:
        return Crop(np.arange(len(tokens)), "whole", -1)
    view = TokenView.of(atoms, tokens)
    weights = np.asarray(options.weights, np.float64)
    method = METHODS[int(rng.choice(len(METHODS), p=weights / weights.sum()))]
    if method == "contiguous":
        chosen = contiguous_tokens(view, options.size, rng, options.whole_residues,
                                   options.drop_ions)
        return Crop(chosen, method, -1)
    reference = np.isin(atoms.chain_id[tokens.centre_atom], list(chains))
    candidates = centre_candidates(view, reference, interface=method == "interface")
    if not len(candidates):
        raise EmptyCropError(f"no resolved token for a crop of kind {method}")
    centre = int(candidates[rng.integers(len(candidates))])
    return Crop(spatial_tokens(view, centre, options.size, options.whole_residues), method, centre)


def centre_candidates(
    view: TokenView, reference: Bool[Array, "n"], interface: bool
) -> Int[Array, "c"]:
    """Tokens of the sampled chains around which a spatial crop may lie.

    With `interface`, those within 15 angstrom of a token of another chain; a single sampled
    chain that has none falls back to all its resolved tokens.
    """
    resolved = np.flatnonzero(reference & view.resolved)
    if not interface:
        return resolved
    others = np.flatnonzero(view.resolved)
    limit = np.nextafter(INTERFACE_DISTANCE, 0)  # nearer than, not as near as
    pairs = near_pairs(view.position[resolved], view.position[others], limit)
    across = view.chain[resolved[pairs[:, 0]]] != view.chain[others[pairs[:, 1]]]
    found = resolved[np.unique(pairs[across, 0])]
    alone = len(np.unique(view.chain[reference])) == 1
    return resolved if alone and not len(found) else found


def distances(view: TokenView, centre: int) -> Float[Array, "n"]:
    """Distance of every token's centre atom to one token's, angstrom, float32."""
    position = view.position.astype(np.float64)
    return point_distances(position, position[[centre]])[:, 0].astype(np.float32)


def spatial_tokens(
    view: TokenView, centre: int, size: int, whole_residues: bool
) -> Int[Array, "k"]:
    """The `size` tokens nearest to a token; unresolved ones come last, ties by order."""
    reach = np.where(view.resolved, distances(view, centre), np.float32(np.inf))
    reach = reach + np.arange(len(view), dtype=np.float32) * _TIE_BREAK
    chosen = np.sort(np.argsort(reach, kind="stable")[:size])
    if not whole_residues:
        return chosen
    left_out = np.ones(len(view), bool)
    left_out[chosen] = False
    cut = np.unique(view.residue[left_out])
    return chosen[~np.isin(view.residue[chosen], cut)]
