# SPDX-License-Identifier: Apache-2.0
"""Labels in the order that fits a prediction best: first molecules, then atoms within residues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from protenix_ms.geometry.rigid import superpose
from protenix_ms.loss.labels import Labels
from protenix_ms.runtime.draws import Draws
from protenix_ms.train.chain_permutation import NoMatchError, permute_chains
from protenix_ms.typing import Array, Bool, Float, Int, Shaped

FEWEST = 3  # known atoms that an alignment needs


def useful_orders(
    orders: Int[Array, "a p"], known: Bool[Array, "a"]
) -> Int[Array, "_ a"]:
    """The identity, then every order that moves a known atom, each once."""
    identity = np.arange(len(orders))
    distinct = np.unique(orders, axis=1).T
    moves = ((distinct != identity) & known).any(1)
    return np.concatenate([identity[None], distinct[moves]])


def permute_atoms(
    x: Float[Array, "a 3"],
    labels: Labels,
    residues: Sequence[tuple[slice, Int[Array, "_ _"]]],
) -> Int[Array, "a"]:
    """Known atom of every predicted atom (upstream `AtomPermutation`).

    The prediction is laid on the known structure once; then each residue chooses the order of
    its symmetric atoms that deviates least.

    Args:
        x: predicted coordinates, angstrom.
        residues: atoms of each residue, and as columns the orders that they may have.
    """
    rows = np.arange(len(x))
    choices = [
        (part, useful_orders(orders, labels.resolved[part])) for part, orders in residues
        if orders.shape[1] > 1 and labels.resolved[part].sum() >= FEWEST
    ]
    choices = [(part, orders) for part, orders in choices if len(orders) > 1]
    if not choices or labels.resolved.sum() < FEWEST:
        return rows
    x = superpose(x, labels.x, labels.resolved.astype(np.float64))
    for part, orders in choices:
        true, known = labels.x[part][orders], labels.resolved[part][orders]
        squared = (np.square(x[part] - true).sum(-1) * known).sum(1) / known.sum(1)
        rows[part] = part.start + orders[np.argmin(squared)]
    return rows


def residues_of(
    space: Int[Array, "a"], orders: Sequence[Int[Array, "_ _"]]
) -> list[tuple[slice, Int[Array, "_ _"]]]:
    """Pairs for `permute_atoms` from the residue of each atom (`ref_space_uid`)."""
    starts = np.flatnonzero(np.r_[True, space[1:] != space[:-1]])
    ends = np.r_[starts[1:], len(space)]
    return [(slice(int(a), int(b)), o) for a, b, o in zip(starts, ends, orders, strict=True)]


def permute_labels(
    x: Float[Array, "a 3"],
    features: Mapping[str, Shaped[Array, "..."]],
    labels: tuple[Mapping[str, Array], Mapping[str, Array]],
    orders: Sequence[Int[Array, "_ _"]],
    draws: Draws,
) -> Labels:
    """Labels of the crop, permuted to fit the mini-rollout.

    Args:
        x: the mini-rollout, angstrom.
        features: the model's input arrays, with `mol_id`, `entity_mol_id`, `mol_atom_index`.
        labels: of the crop, and of all molecules that may stand in for those of the crop.
        orders: per residue, columns of atom orders.
        draws: site ``anchor_chain``.
    """
    crop, full = labels
    found = Labels.from_arrays(crop)
    try:
        chosen, whole = permute_chains(x, features, full, draws), Labels.from_arrays(full)
        found = Labels(whole.x[chosen], whole.resolved[chosen])
    except NoMatchError:
        pass  # as upstream: the crop's own labels stay
    rows = permute_atoms(x, found, residues_of(np.asarray(features["ref_space_uid"]), orders))
    return Labels(found.x[rows], found.resolved[rows])
