# SPDX-License-Identifier: Apache-2.0
"""Sample distance constraints from a known structure (upstream `ConstraintFeatureGenerator`).

Constraints are read by the constraint model of Protenix v0.5. Contacts are drawn over the whole
crop or for every interface (upstream's groups "complex", its default, and "interface"), pockets
and substructures over the whole crop.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protenix_ms.data.crop import Sites
from protenix_ms.features.annotation import AnnotatedAtoms
from protenix_ms.features.constraints import split_residues
from protenix_ms.features.optional import empty_constraint_features
from protenix_ms.features.tokens import TokenTable, tokenize
from protenix_ms.geometry.distances import point_distances
from protenix_ms.typing import Array, Bool, Float, Int

DISTANCE_BINS = np.array([4.0, 8.0, 16.0])  # angstrom, inner edges of four bins
_KINDS = {"P": "protein", "L": "ligand"}

# Kinds of two molecules (P protein, L ligand), and the range that the distance limit is drawn
# from, in angstrom.
Ranges = tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class PairSampling:
    """How to sample contacts of different chains, or pockets of a binder chain.

    Attributes:
        probability: of an example to have any.
        size: their number, or below 1 the parameter of a geometric distribution.
        ranges: of the distance limit, by kinds of molecules; of a pocket the binder is first.
        min_distance: nearer pairs are not used; -1 draws it below the limit.
        by_interface: the number is drawn for every pair of chains, not for the whole crop.
    """

    probability: float
    ranges: Ranges
    size: float = 1 / 3
    min_distance: float = 0.0
    by_interface: bool = False


@dataclass(frozen=True)
class SubstructureSampling:
    """How to sample distances inside known parts.

    Attributes:
        probability: of an example to have any.
        size: number of chains, see `PairSampling`.
        interfaces: a chain takes part if it is of the first kind and within so many angstrom of a
            chain of the second.
        full_shares: the share of the chains that is known in full is one of these.
        noise: standard deviation of the coordinates, angstrom.
    """

    probability: float
    size: float = 0.8
    interfaces: tuple[tuple[str, float], ...] = (("PP", 15.0), ("PL", 10.0), ("LP", 10.0))
    full_shares: tuple[float, ...] = (0.0, 0.5, 1.0)
    noise: float = 0.05


@dataclass(frozen=True)
class ConstraintSampling:
    """How to sample all four kinds; by default as upstream's constraint model was trained."""

    pocket: PairSampling = PairSampling(0.2, (("PP", 6.0, 20.0), ("LP", 6.0, 20.0)))
    contact: PairSampling = PairSampling(0.1, (("PP", 6.0, 30.0), ("PL", 4.0, 10.0)))
    contact_atom: PairSampling = PairSampling(
        0.1, (("PP", 2.0, 12.0), ("PL", 2.0, 8.0)), min_distance=-1.0)
    substructure: SubstructureSampling = SubstructureSampling(0.5)


@dataclass(frozen=True)
class Constrained:
    """A crop with sampled constraints.

    Attributes:
        whole, atoms: the assembly and the crop; residues with an atom contact are split into
            single-atom tokens, constrained molecules no longer stand in for their copies.
        tokens: of the crop.
        features: `constraint_feature/*`, see `features.optional`.
    """

    whole: AnnotatedAtoms
    atoms: AnnotatedAtoms
    tokens: TokenTable
    features: dict[str, Array]


def sample_constraints(
    whole: AnnotatedAtoms, atoms: AnnotatedAtoms, rng: np.random.Generator,
    options: ConstraintSampling,
) -> Constrained:  # fmt: skip
    """Draw constraints for a crop (`atoms`) of an assembly (`whole`)."""
    contacts = np.zeros((0, 2), np.int64), np.zeros(0)
    if rng.random() < options.contact_atom.probability:
        sites = Sites.from_atoms(atoms, np.arange(len(atoms)))
        contacts = draw_contacts(sites, options.contact_atom, rng)
        whole, atoms = split_tokens(whole, atoms, contacts[0].ravel())
    tokens = tokenize(atoms)
    n = len(tokens)
    sites = Sites.from_atoms(atoms, tokens.centre_atom)
    drawn: dict[str, Float[Array, "n n _"]] = {}
    if len(contacts[0]):
        # Upstream writes the limit of sampled atom contacts where the least distance belongs
        # (channels swapped against its own predictions); here the order is that of predictions.
        drawn["contact_atom"] = contact_feature(n, tokens.atom_to_token[contacts[0]], contacts[1])
    if rng.random() < options.pocket.probability:
        drawn["pocket"] = draw_pocket(sites, options.pocket, rng)
    if rng.random() < options.contact.probability:
        drawn["contact"] = contact_feature(n, *draw_contacts(sites, options.contact, rng))
    if rng.random() < options.substructure.probability:
        chosen = draw_substructure(sites, options.substructure, rng)
        noise = rng.normal(scale=options.substructure.noise, size=sites.position.shape)
        drawn["substructure"] = substructure_feature(sites.position + noise, chosen)
    tokens_of = [np.argwhere(feature.any(axis=-1)).ravel() for feature in drawn.values()]
    touched = np.unique(np.concatenate([np.zeros(0, np.int64), *tokens_of]))
    molecules = np.unique(atoms.mol_id[tokens.centre_atom[touched]])
    first = int(whole.entity_mol_id.max()) + 1
    features = {f"constraint_feature/{name}": feature for name, feature in drawn.items()}
    return Constrained(_unlike_copies(whole, molecules, first),
                       _unlike_copies(atoms, molecules, first), tokens,
                       empty_constraint_features(n) | features)


def split_tokens(
    whole: AnnotatedAtoms, atoms: AnnotatedAtoms, rows: Int[Array, "k"]
) -> tuple[AnnotatedAtoms, AnnotatedAtoms]:
    """Split the residues of some atoms of a crop into one token per atom (`split_residues`).

    Their atoms all become token centres, in the assembly and its crop.
    """
    split = split_residues(atoms, rows)
    split_ids = split.ref_space_uid[split.split]
    in_whole = np.isin(whole.ref_space_uid, split_ids) & whole.standard
    return whole.with_columns(
        centre_atom_mask=np.where(in_whole, 1, whole.centre_atom_mask)
    ), split


def _unlike_copies(atoms: AnnotatedAtoms, molecules: Int[Array, "m"], first: int) -> AnnotatedAtoms:
    """Make each of these molecules a kind of its own, so that labels are not permuted with it."""
    kind = atoms.entity_mol_id.copy()
    for number, molecule in enumerate(molecules.tolist(), first):
        kind[atoms.mol_id == molecule] = number
    return atoms.with_columns(entity_mol_id=kind)


def _near_kinds(sites: Sites, kinds: str, radius: float) -> Int[Array, "p 2"]:
    """List pairs of `Sites.near` whose chains are protein (P) or ligand (L), in this order."""
    pairs = sites.near(radius)
    first, second = (sites.kind == _KINDS[letter] for letter in kinds)
    fits: Bool[Array, "p"] = first[pairs[:, 0]] & second[pairs[:, 1]]
    return pairs[fits]


def _size(size: float, rng: np.random.Generator) -> int:
    return int(rng.geometric(size)) if size < 1 else int(size)


def draw_contacts(
    sites: Sites, options: PairSampling, rng: np.random.Generator
) -> tuple[Int[Array, "k 2"], Float[Array, "k"]]:
    """Draw pairs (lower index first) and their distance limits."""
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
    """List pairs of resolved sites of different chains whose distance lies between the limits.

    Args:
        limits: kinds of the two molecules in any order, and the largest distance in angstrom;
            least: the smallest one.
    """
    limit_of: dict[tuple[int, int], float] = {}
    for (kinds, limit), low in zip(limits, least):
        pairs = np.sort(_near_kinds(sites, kinds, limit), axis=1)
        apart = sites.position[pairs[:, 0]].astype(np.float64) - sites.position[pairs[:, 1]]
        far = (apart**2).sum(1) >= low**2
        limit_of |= dict.fromkeys(map(tuple, pairs[far].tolist()), limit)
    pairs = np.array(sorted(limit_of), np.int64).reshape(-1, 2)
    return pairs, np.array([limit_of[tuple(pair)] for pair in pairs.tolist()])


def contact_feature(
    n_token: int, pairs: Int[Array, "k 2"], limit: Float[Array, "k"]
) -> Float[Array, "n n 2"]:
    """Write the [least, largest] distance of every pair, both ways; zero elsewhere."""
    feature = np.zeros((n_token, n_token, 2), np.float32)
    feature[pairs[:, 0], pairs[:, 1], 1] = limit
    feature[pairs[:, 1], pairs[:, 0], 1] = limit
    return feature


def draw_pocket(
    sites: Sites, options: PairSampling, rng: np.random.Generator
) -> Float[Array, "n n 1"]:
    """Draw a binder chain and tokens of its pocket: the distance limit, from binder to pocket."""
    limits = [(kinds, float(rng.uniform(low, high))) for kinds, low, high in options.ranges]
    chains, limit = pocket_limits(sites, limits)
    feature = np.zeros((len(sites), len(sites), 1), np.float32)
    binders = np.flatnonzero(limit.any(axis=1))
    if len(binders):
        binder = binders[rng.integers(len(binders))]
        pocket = rng.permutation(np.flatnonzero(limit[binder]))[: _size(options.size, rng)]
        rows = np.flatnonzero(sites.chain == chains[binder])
        feature[np.ix_(rows, pocket)] = limit[binder, pocket][:, None]
    return feature


def pocket_limits(
    sites: Sites, limits: list[tuple[str, float]]
) -> tuple[Int[Array, "c"], Float[Array, "c n"]]:
    """List the chains, and by chain of over one token the distance limit at its pocket's tokens."""
    chains, index, size = np.unique(sites.chain, return_inverse=True, return_counts=True)
    limit = np.zeros((len(chains), len(sites)), np.float32)
    for kinds, top in limits:
        pairs = _near_kinds(sites, kinds, top)
        pairs = pairs[size[index[pairs[:, 0]]] > 1]
        limit[index[pairs[:, 0]], pairs[:, 1]] = top
    return chains, limit


def draw_substructure(
    sites: Sites, options: SubstructureSampling, rng: np.random.Generator
) -> Bool[Array, "n"]:
    """Draw the tokens whose mutual distances are known: some chains in full, others in part."""
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


def interface_chains(sites: Sites, interfaces: tuple[tuple[str, float], ...]) -> Int[Array, "c"]:
    """List chains at an interface, once for every kind of interface they have, as upstream."""
    return np.concatenate([np.unique(sites.chain[_near_kinds(sites, kinds, radius)[:, 0]])
                           for kinds, radius in interfaces])


def substructure_feature(
    position: Float[Array, "n 3"], chosen: Bool[Array, "n"]
) -> Float[Array, "n n 4"]:
    """Encode distances between the chosen tokens as one-hot bins, from 4 angstrom on.

    The first of the four bins stays empty, as in upstream.
    """
    feature = np.zeros((len(chosen), len(chosen), len(DISTANCE_BINS) + 1), np.float32)
    rows = np.flatnonzero(chosen)
    apart = point_distances(position[rows], position[rows])
    first, second = np.nonzero(apart >= DISTANCE_BINS[0])
    number = np.digitize(apart[first, second], DISTANCE_BINS)
    feature[rows[first], rows[second], number] = 1
    return feature
