# SPDX-License-Identifier: Apache-2.0
"""Distance constraints sampled from a known structure (upstream `ConstraintFeatureGenerator`).

Contacts are drawn over the whole crop or for every interface (upstream's groups "complex", its
default, and "interface"), pockets and substructures over the whole crop.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.data.constraint_options import (
    ConstraintSampling,
    PairSampling,
    SubstructureSampling,
)
from protenix_ms.data.token_split import split_tokens
from protenix_ms.features.constraint import empty_constraint_features
from protenix_ms.features.tokens import TokenTable, tokenize
from protenix_ms.geometry.distances import near_pairs, point_distances
from protenix_ms.typing import Array, Bool, Float, Int

DISTANCE_BINS = np.array([4.0, 8.0, 16.0])  # angstrom, inner edges of four bins
_KINDS = {"P": "protein", "L": "ligand"}


@dataclass(frozen=True)
class Sites:
    """Points that constraints are about: atoms, or centre atoms of tokens.

    Attributes:
        chain: number of the chain; kind: type of its chain; position in angstrom.
    """

    chain: Int[Array, "n"]
    kind: Array
    resolved: Bool[Array, "n"]
    position: Float[Array, "n 3"]

    @staticmethod
    def of(atoms: AtomTable, rows: Int[Array, "n"]) -> Sites:
        """The sites at these rows."""
        extra = atoms.extra
        return Sites(extra["asym_id"][rows], extra["chain_type"][rows],
                     extra["is_resolved"][rows], atoms.coord[rows])

    def __len__(self) -> int:
        return len(self.chain)

    def is_kind(self, letter: str) -> Bool[Array, "n"]:
        """Sites of protein (P) or ligand (L) chains."""
        return self.kind == _KINDS[letter]

    def near(self, radius: float) -> Int[Array, "p 2"]:
        """Ordered pairs of resolved sites of different chains within `radius`."""
        rows = np.flatnonzero(self.resolved)
        pairs = rows[near_pairs(self.position[rows], self.position[rows], radius)]
        return pairs[self.chain[pairs[:, 0]] != self.chain[pairs[:, 1]]]


@dataclass(frozen=True)
class Constrained:
    """A crop with sampled constraints.

    Attributes:
        whole, atoms: the assembly and the crop; residues with an atom contact are split into
            single-atom tokens, constrained molecules no longer stand in for their copies.
        tokens: of the crop.
        features: `constraint_feature/*`, see `features.constraint`.
    """

    whole: AtomTable
    atoms: AtomTable
    tokens: TokenTable
    features: dict[str, Array]


def sample_constraints(
    whole: AtomTable, atoms: AtomTable, rng: np.random.Generator, options: ConstraintSampling
) -> Constrained:
    """Draw constraints for a crop (`atoms`) of an assembly (`whole`)."""
    contacts = np.zeros((0, 2), np.int64), np.zeros(0)
    if rng.random() < options.contact_atom.probability:
        sites = Sites.of(atoms, np.arange(len(atoms)))
        contacts = draw_contacts(sites, options.contact_atom, rng)
        whole, atoms = split_tokens(whole, atoms, contacts[0].ravel())
    tokens = tokenize(atoms)
    sites = Sites.of(atoms, tokens.centre_atom)
    features = empty_constraint_features(len(tokens))
    if len(contacts[0]):
        # Upstream writes the limit of sampled atom contacts where the least distance belongs
        # (channels swapped against its own predictions); here the order is that of predictions.
        pairs = tokens.atom_to_token[contacts[0]]
        features["constraint_feature/contact_atom"] = contact_feature(len(tokens), pairs,
                                                                      contacts[1])
    if rng.random() < options.pocket.probability:
        features["constraint_feature/pocket"] = draw_pocket(sites, options.pocket, rng)
    if rng.random() < options.contact.probability:
        found = draw_contacts(sites, options.contact, rng)
        features["constraint_feature/contact"] = contact_feature(len(tokens), *found)
    if rng.random() < options.substructure.probability:
        chosen = draw_substructure(sites, options.substructure, rng)
        noise = rng.normal(scale=options.substructure.noise, size=sites.position.shape)
        features["constraint_feature/substructure"] = substructure_feature(
            sites.position + noise, chosen
        )
    touched = np.unique(np.concatenate([_told(array) for array in features.values()]))
    molecules = np.unique(atoms.extra["mol_id"][tokens.centre_atom[touched]])
    first = int(whole.extra["entity_mol_id"].max()) + 1
    return Constrained(_unlike_copies(whole, molecules, first),
                       _unlike_copies(atoms, molecules, first), tokens, features)


def _told(feature: Float[Array, "n n c"]) -> Int[Array, "_"]:
    """Tokens that a feature says something about."""
    if not any(feature.strides):  # the empty feature is a view of one zero
        return np.zeros(0, np.int64)
    return np.unique(np.argwhere(feature.any(axis=-1)))


def _unlike_copies(atoms: AtomTable, molecules: Int[Array, "m"], first: int) -> AtomTable:
    """Each of these molecules is a kind of its own, so that labels are not permuted with it."""
    kind = atoms.extra["entity_mol_id"].copy()
    for number, molecule in enumerate(molecules.tolist(), first):
        kind[atoms.extra["mol_id"] == molecule] = number
    return atoms.with_columns(entity_mol_id=kind)


def _size(size: float, rng: np.random.Generator) -> int:
    return int(rng.geometric(size)) if size < 1 else int(size)


def draw_contacts(
    sites: Sites, options: PairSampling, rng: np.random.Generator
) -> tuple[Int[Array, "k 2"], Float[Array, "k"]]:
    """Random pairs (lower index first) and their distance limits."""
    limits = [(kinds, float(rng.uniform(low, high))) for kinds, low, high in options.ranges]
    pairs, limit = valid_contacts(sites, limits, [
        float(rng.uniform(0, top)) if options.min_distance < 0 else options.min_distance
        for _, top in limits
    ])
    groups = [np.arange(len(pairs))]
    if options.by_interface:
        chains = np.unique(np.sort(sites.chain[pairs], axis=1), axis=0, return_inverse=True)[1]
        groups = [np.flatnonzero(chains.ravel() == i) for i in range(chains.max(initial=-1) + 1)]
    chosen = np.concatenate([
        np.zeros(0, np.int64), *(rng.permutation(g)[: _size(options.size, rng)] for g in groups)])
    return pairs[chosen], limit[chosen]


def valid_contacts(
    sites: Sites, limits: list[tuple[str, float]], least: list[float]
) -> tuple[Int[Array, "k 2"], Float[Array, "k"]]:
    """Pairs of resolved sites of different chains whose distance lies between the limits.

    Args:
        limits: kinds of the two molecules in any order, and the largest distance in angstrom;
            least: the smallest one.
    """
    found: dict[tuple[int, int], float] = {}
    for (kinds, limit), low in zip(limits, least):
        pairs = sites.near(limit)
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        first, second = (sites.is_kind(letter) for letter in kinds)
        fits = first[pairs] & second[pairs[:, ::-1]]
        apart = sites.position[pairs[:, 0]].astype(np.float64) - sites.position[pairs[:, 1]]
        far = (apart**2).sum(1) >= low**2
        for pair in pairs[fits.any(axis=1) & far].tolist():
            found[tuple(pair)] = limit
    pairs = np.array(sorted(found), np.int64).reshape(-1, 2)
    return pairs, np.array([found[tuple(pair)] for pair in pairs.tolist()])


def contact_feature(
    n_token: int, pairs: Int[Array, "k 2"], limit: Float[Array, "k"]
) -> Float[Array, "n n 2"]:
    """[least, largest] distance of every pair, both ways; zero elsewhere."""
    feature = np.zeros((n_token, n_token, 2), np.float32)
    feature[pairs[:, 0], pairs[:, 1], 1] = limit
    feature[pairs[:, 1], pairs[:, 0], 1] = limit
    return feature


def draw_pocket(
    sites: Sites, options: PairSampling, rng: np.random.Generator
) -> Float[Array, "n n 1"]:
    """A binder chain's tokens by some tokens of its pocket: the distance limit, one way."""
    limits = [(kinds, float(rng.uniform(low, high))) for kinds, low, high in options.ranges]
    chains, limit = pocket_limits(sites, limits)
    feature = np.zeros((len(sites), len(sites), 1), np.float32)
    binders = np.flatnonzero(limit.any(axis=1))
    if len(binders):
        binder = binders[rng.integers(len(binders))]
        pocket = rng.permutation(np.flatnonzero(limit[binder]))[: _size(options.size, rng)]
        rows = np.flatnonzero(sites.chain == chains[binder])
        feature[np.ix_(rows, pocket, [0])] = limit[binder, pocket][None, :, None]
    return feature


def pocket_limits(
    sites: Sites, limits: list[tuple[str, float]]
) -> tuple[Int[Array, "c"], Float[Array, "c n"]]:
    """Chains, and per chain of over one token the distance limit at tokens of its pocket."""
    chains, index, size = np.unique(sites.chain, return_inverse=True, return_counts=True)
    limit = np.zeros((len(chains), len(sites)), np.float32)
    for (binder, pocket), top in limits:
        pairs = sites.near(top)
        fits = sites.is_kind(binder)[pairs[:, 0]] & sites.is_kind(pocket)[pairs[:, 1]]
        pairs = pairs[fits & (size[index[pairs[:, 0]]] > 1)]
        limit[index[pairs[:, 0]], pairs[:, 1]] = top
    return chains, limit


def draw_substructure(
    sites: Sites, options: SubstructureSampling, rng: np.random.Generator
) -> Bool[Array, "n"]:
    """Tokens whose mutual distances are told: some chains in full, others in part."""
    chosen = np.zeros(len(sites), bool)
    valid = interface_chains(sites, options.interfaces)
    if not len(valid):
        return chosen
    size = _size(options.size, rng)
    share = options.full_shares[int(rng.integers(len(options.full_shares)))]
    full = min(int(size * share), len(valid))
    for place, chain in enumerate(rng.permutation(valid)[:size].tolist()):
        rows = np.flatnonzero((sites.chain == chain) & sites.resolved)
        if place >= full and len(rows):
            rows = rng.permutation(rows)[: max(1, int(len(rows) * rng.random()))]
        chosen[rows] = True
    return chosen


def interface_chains(
    sites: Sites, interfaces: tuple[tuple[str, float], ...]
) -> Int[Array, "c"]:
    """Chains at an interface, once for every kind of interface they have (as upstream counts)."""
    found = []
    for (own, other), radius in interfaces:
        pairs = sites.near(radius)
        fits = sites.is_kind(own)[pairs[:, 0]] & sites.is_kind(other)[pairs[:, 1]]
        found.append(np.unique(sites.chain[pairs[fits, 0]]))
    return np.concatenate(found)


def substructure_feature(
    position: Float[Array, "n 3"], chosen: Bool[Array, "n"]
) -> Float[Array, "n n 4"]:
    """One-hot distance bins between the chosen tokens; nothing is told below 4 angstrom.

    The first of the four bins stays empty, as in upstream.
    """
    feature = np.zeros((len(chosen), len(chosen), len(DISTANCE_BINS) + 1), np.float32)
    rows = np.flatnonzero(chosen)
    apart = point_distances(position[rows], position[rows])
    first, second = np.nonzero(apart >= DISTANCE_BINS[0])
    number = np.digitize(apart[first, second], DISTANCE_BINS)
    feature[rows[first], rows[second], number] = 1
    return feature
