# SPDX-License-Identifier: Apache-2.0
"""Labels in the order that fits a prediction best: first molecules, then atoms within residues.

Among copies of the same kind, the heuristic of AlphaFold-Multimer (section 7.3.1) as AF3 SI section
4.2 uses it decides which known molecule stands for which predicted one. One predicted molecule, the
anchor, is laid on each copy that it may be; the others choose the nearest copy of their kind,
longest first; the anchor whose choice fits best wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from protenix_ms.geometry.rigid import rigid_motion, superpose
from protenix_ms.loss.labels import Labels
from protenix_ms.metrics.structure import rmsd
from protenix_ms.runtime.draws import Draws
from protenix_ms.typing import Array, Bool, Float, Int, Shaped

FEWEST = 3  # known atoms that an alignment needs
ANCHOR_TOKENS = 4  # an anchor has at least so many, predicted and known
POLYMER_TOKENS = 12  # kinds with fewer are not preferred as anchors
BETTER = 1e-12  # angstrom; what a permutation must gain


class NoMatchError(Exception):
    """The molecules cannot be matched; labels stay as they are."""


@dataclass(frozen=True)
class Molecule:
    """Representative atoms of one molecule.

    Attributes:
        kind: entity.
        place: of each atom in its molecule, to find the same atoms in a copy.
        x, known: coordinates in angstrom, and whether they are.
        is_ligand: of each token.
    """

    kind: int
    place: Int[Array, "n"]
    x: Float[Array, "n 3"]
    known: Bool[Array, "n"]
    is_ligand: Bool[Array, "n"]

    def like(self, other: Molecule) -> Molecule:
        """Select the atoms that `other` has too, in its order.

        Raises:
            NoMatchError: the two differ in more than what was cropped.
        """
        chosen = np.isin(self.place, other.place)
        if not np.array_equal(self.place[chosen], other.place):
            raise NoMatchError("copies with different atoms")
        return Molecule(self.kind, self.place[chosen], self.x[chosen], self.known[chosen],
                        self.is_ligand[chosen])


Molecules = dict[int, Molecule]


def molecules(
    atoms: Mapping[str, Shaped[Array, "..."]],
    x: Float[Array, "a 3"],
    known: Bool[Array, "a"],
) -> Molecules:
    """Split atoms into molecules by `mol_id`, ascending.

    Args:
        atoms: `mol_id`, `entity_mol_id`, `mol_atom_index`, `pae_rep_atom_mask`; `is_ligand` if
            there is.
    """
    token = np.asarray(atoms["pae_rep_atom_mask"]).astype(bool)
    owner, kind, place = (
        np.asarray(atoms[k])[token] for k in ("mol_id", "entity_mol_id", "mol_atom_index")
    )
    ligand = np.asarray(atoms.get("is_ligand", np.zeros(len(token))))[token].astype(bool)
    x, known = x[token], known[token]
    masks = {int(i): owner == i for i in np.unique(owner)}
    return {i: Molecule(int(kind[m][0]), place[m], x[m], known[m], ligand[m])
            for i, m in masks.items()}


def anchor_candidates(predicted: Molecules, true: Molecules) -> list[int]:
    """List the predicted molecules that may be the anchor: polymers, fewest copies, the longest.

    Raises:
        NoMatchError: none is large enough.
    """
    kinds = {m.kind for m in true.values() if m.known.sum() >= ANCHOR_TOKENS}
    large = [(m.kind, i) for i, m in predicted.items()
             if m.kind in kinds and len(m.place) >= ANCHOR_TOKENS]
    if not large:
        raise NoMatchError("no molecule is large enough to be an anchor")
    large.sort()
    kinds = {kind for kind, _ in large}
    polymers = {kind for kind in kinds if _is_polymer(kind, predicted)}
    kinds = polymers or kinds
    copies = {kind: sum(m.kind == kind for m in true.values()) for kind in kinds}
    kinds = {kind for kind in kinds if copies[kind] == min(copies.values())}
    candidates = [i for kind, i in large if kind in kinds]
    longest = max(len(predicted[i].place) for i in candidates)
    return [i for i in candidates if len(predicted[i].place) == longest]


def _is_polymer(kind: int, predicted: Molecules) -> bool:
    ligand = np.concatenate([m.is_ligand for m in predicted.values() if m.kind == kind])
    return len(ligand) >= POLYMER_TOKENS and int(ligand.sum()) <= len(ligand) / 2


def _nearest(molecule: Molecule, copies: list[int], moved: Molecules) -> int:
    """Choose the copy whose centre is nearest; the first one if none is known."""
    if not copies:
        raise NoMatchError("more predicted molecules than known copies")
    best, nearest = None, np.inf
    for i in copies:
        copy = moved[i].like(molecule)
        if copy.known.any():
            apart = copy.x[copy.known].mean(0) - molecule.x[copy.known].mean(0)
            if (distance := np.linalg.norm(apart)) < nearest:
                best, nearest = i, distance
    return copies[0] if best is None else best


def _match_around(
    anchor: int, copy: int, predicted: Molecules, true: Molecules
) -> tuple[float, dict[int, int]] | None:
    """Match with `anchor` laid on `copy`: mean deviation and match; None if it is unknown."""
    known = true[copy].like(predicted[anchor])
    if not known.known.any():
        return None
    turn, shift = rigid_motion(known.x[known.known], predicted[anchor].x[known.known])
    moved = {i: replace(m, x=m.x @ turn.T + shift) for i, m in true.items()}
    match, free = {anchor: copy}, [i for i in true if i != copy]
    others = [i for i in predicted if i != anchor]
    for i in sorted(others, key=lambda i: -len(predicted[i].place)):
        copies = [k for k in free if true[k].kind == predicted[i].kind]
        match[i] = _nearest(predicted[i], copies, moved)
        free.remove(match[i])
    return float(np.mean([_deviation(predicted[i], moved[k]) for i, k in match.items()])), match


def _deviation(predicted: Molecule, moved: Molecule) -> float:
    copy = moved.like(predicted)
    if not copy.known.any():
        return 0.0
    squared = np.square(predicted.x - copy.x).sum(-1)[copy.known]
    return float(np.sqrt(squared.mean()))


def best_match(predicted: Molecules, true: Molecules, draws: Draws) -> dict[int, int]:
    """Match every predicted molecule with a known one. Site ``anchor_chain`` breaks ties.

    Raises:
        NoMatchError: there is none.
    """
    candidates = anchor_candidates(predicted, true)
    anchor = candidates[draws.integer("anchor_chain", 0, len(candidates))]
    copies = [i for i, m in true.items() if m.kind == predicted[anchor].kind]
    matches = [_match_around(anchor, copy, predicted, true) for copy in copies]
    known = [match for match in matches if match is not None]
    if not known:
        raise NoMatchError("no copy of the anchor is known")
    return min(known, key=lambda match: match[0])[1]


def _rows(
    match: Mapping[int, int],
    predicted: Mapping[str, Shaped[Array, "..."]],
    true: Mapping[str, Shaped[Array, "..."]],
) -> Int[Array, "a"]:
    """Find the known atom of every predicted atom."""
    rows = np.zeros(len(predicted["mol_id"]), int)
    for i, k in match.items():
        here, there = predicted["mol_id"] == i, np.flatnonzero(true["mol_id"] == k)
        place = predicted["mol_atom_index"][here]
        there = there[np.isin(true["mol_atom_index"][there], place)]
        if not np.array_equal(true["mol_atom_index"][there], place):
            raise NoMatchError("copies with different atoms")
        rows[here] = there
    return rows


def permute_chains(
    x: Float[Array, "a 3"],
    predicted: Mapping[str, Shaped[Array, "..."]],
    true: Mapping[str, Shaped[Array, "..."]],
    draws: Draws,
) -> Int[Array, "a"]:
    """Find the row of the known atom of every predicted atom (upstream `correct_symmetric_chains`).

    A match that does not lower the deviation of the whole complex is not used.

    Args:
        x: predicted coordinates, angstrom.
        predicted: columns of the predicted atoms, as of `molecules`.
        true: the same of the known atoms, with `coordinate` and `coordinate_mask`.

    Raises:
        NoMatchError: labels should stay as they are.
    """
    same = {int(i): int(i) for i in np.unique(predicted["mol_id"])}
    kept = _rows(same, predicted, true)
    if len(np.unique(true["entity_mol_id"])) == len(np.unique(true["mol_id"])):
        return kept  # no two molecules are alike
    known = true["coordinate_mask"].astype(bool)
    match = best_match(molecules(predicted, x, np.ones(len(x), bool)),
                       molecules(true, true["coordinate"], known), draws)
    if match == same:
        return kept
    permuted = _rows(match, predicted, true)

    def deviation(rows: Array) -> float:
        weight = known[rows].astype(float)
        return rmsd(x, true["coordinate"][rows], weight) if weight.any() else 0.0

    return permuted if deviation(kept) - deviation(permuted) >= BETTER else kept


def useful_orders(
    orders: Int[Array, "a p"], known: Bool[Array, "a"]
) -> Int[Array, "_ a"]:
    """List the identity, then every order that moves a known atom, each once."""
    identity = np.arange(len(orders))
    distinct = np.unique(orders, axis=1).T
    moves = ((distinct != identity) & known).any(1)
    return np.concatenate([identity[None], distinct[moves]])


def permute_atoms(
    x: Float[Array, "a 3"],
    labels: Labels,
    residues: Sequence[tuple[slice, Int[Array, "_ _"]]],
) -> Int[Array, "a"]:
    """Find the known atom of every predicted atom within residues (upstream `AtomPermutation`).

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
    """Pair each residue's atoms with their orders, from the residue of each atom (`ref_space_uid`).
    """
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
    """Permute the labels of the crop to fit the mini-rollout.

    Args:
        x: the mini-rollout, angstrom.
        features: the model's input arrays, with `mol_id`, `entity_mol_id`, `mol_atom_index`.
        labels: of the crop, and of all molecules that may stand in for those of the crop.
        orders: per residue, columns of atom orders.
        draws: site ``anchor_chain``.
    """
    crop, full = labels
    best = Labels.from_arrays(crop)
    try:
        chosen, whole = permute_chains(x, features, full, draws), Labels.from_arrays(full)
        best = Labels(whole.x[chosen], whole.resolved[chosen])
    except NoMatchError:
        pass  # as upstream: the crop's own labels stay
    rows = permute_atoms(x, best, residues_of(np.asarray(features["ref_space_uid"]), orders))
    return Labels(best.x[rows], best.resolved[rows])
