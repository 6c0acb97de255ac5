# SPDX-License-Identifier: Apache-2.0
"""Which chains of an assembly are kept (AF3 SI 2.5.4; upstream `Filter`)."""

from __future__ import annotations

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.data.segments import connected
from protenix_ms.geometry.distances import near_pairs
from protenix_ms.typing import Array, Bool, Int

INTERFACE_RADIUS = 15.0  # angstrom between centre atoms
MAX_MOLECULES = 20
MAX_TOKENS = 5120
CLASH_DISTANCE = 1.6  # angstrom; AF3 says 1.7, upstream takes 1.6
MAX_CLASH_SHARE = 0.3
_SEED = 42  # upstream's choice of the centre does not change from run to run


def bonded_molecules(atoms: AtomTable) -> Int[Array, "a"]:
    """Atoms joined by bonds, numbered by first atom."""
    return connected(len(atoms), atoms.bonds[:, :2].astype(np.int64))


def without_unresolved_molecules(
    atoms: AtomTable, molecule: Int[Array, "a"]
) -> tuple[AtomTable, Int[Array, "b"]]:
    """Molecules with at least one resolved atom, and their numbers per atom."""
    seen = np.bincount(molecule, atoms.extra["is_resolved"]) > 0
    return atoms[seen[molecule]], molecule[seen[molecule]]


def nearest_molecules(atoms: AtomTable, molecule: Int[Array, "a"]) -> AtomTable | None:
    """At most 20 molecules around an interface atom, more while 5120 tokens are not reached.

    Molecules (chains with what is bonded to them) stand for the paper's chains. None when no two
    molecules come within 15 angstrom of each other.
    """
    if len(np.unique(molecule)) <= MAX_MOLECULES:
        return atoms
    centres = np.flatnonzero(_resolved_centres(atoms))
    coord = atoms.coord[centres]
    owner = molecule[centres]
    order = np.arange(len(centres))
    np.random.default_rng(seed=_SEED).shuffle(order)
    chosen = _first_at_interface(coord, owner, order)
    if chosen is None:
        return None
    distance = np.linalg.norm(coord.astype(np.float64) - coord[chosen], axis=1)
    token_count = np.bincount(molecule, atoms.extra["centre_atom_mask"]).astype(np.int64)
    kept: set[int] = set()
    tokens = 0
    # Upstream counts a molecule's tokens again for every one of its atoms it passes, so that the
    # limit of tokens is reached early; kept, because it decides which chains models have seen.
    for number in owner[np.argsort(distance, kind="stable")].tolist():
        if len(kept) >= MAX_MOLECULES and tokens + token_count[number] > MAX_TOKENS:
            break
        kept.add(number)
        tokens += int(token_count[number])
    return atoms[np.isin(molecule, list(kept))]


def _resolved_centres(atoms: AtomTable) -> Bool[Array, "a"]:
    return atoms.extra["is_resolved"] & (atoms.extra["centre_atom_mask"] > 0)


def _first_at_interface(coord: Array, owner: Array, order: Array) -> int | None:
    """The first atom in `order` with another molecule's atom around it."""
    for index in order.tolist():
        near = ((coord - coord[index]) ** 2).sum(1) <= INTERFACE_RADIUS**2
        if (owner[near] != owner[index]).any():
            return index
    return None


def without_clashing_chains(atoms: AtomTable) -> AtomTable:
    """Of two chains that overlap by over 30 % of their centre atoms, one is dropped.

    The one with the larger share of overlap goes, then the one with fewer atoms, then the one
    whose name comes later. Chains that bonds join into one molecule never clash. A chain without
    any resolved centre atom always loses, as in upstream, where its share is 0/0.
    """
    names = np.unique(atoms.chain_id[atoms.extra["is_resolved"]])
    rows = np.flatnonzero(_resolved_centres(atoms))
    chain = np.searchsorted(names, atoms.chain_id[rows])
    sizes = np.bincount(chain, minlength=len(names)).tolist()
    overlap = _overlaps(atoms, names, rows, chain).tolist()
    removed = np.zeros(len(names), bool)
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            if removed[i]:
                break
            if not removed[j]:
                loser = _loser((i, j), (overlap[i][j], overlap[j][i]), (sizes[i], sizes[j]))
                removed[list(loser)] = True
    return atoms[~np.isin(atoms.chain_id, names[removed])]


def _loser(
    pair: tuple[int, int], overlap: tuple[int, int], sizes: tuple[int, int]
) -> tuple[int, ...]:
    """The chain of a pair that has to go: none or one."""
    share = [count / size if size else np.nan for count, size in zip(overlap, sizes)]
    if share[0] <= MAX_CLASH_SHARE and share[1] <= MAX_CLASH_SHARE:
        return ()
    for left, right in (share, (-sizes[0], -sizes[1])):
        if left != right and not np.isnan(left + right):
            return (pair[0],) if left > right else (pair[1],)
    return (pair[1],)


def _overlaps(atoms: AtomTable, names: Array, rows: Array, chain: Array) -> Int[Array, "c c"]:
    """(i, j): number of centre atoms of chain i that lie on one of chain j."""
    coord = atoms.coord[rows]
    pairs = near_pairs(coord, coord, CLASH_DISTANCE)
    pairs = pairs[chain[pairs[:, 0]] != chain[pairs[:, 1]]]
    hits = np.unique(np.stack([pairs[:, 0], chain[pairs[:, 1]]], axis=1), axis=0)
    overlap = np.zeros((len(names), len(names)), np.int64)
    np.add.at(overlap, (chain[hits[:, 0]], hits[:, 1]), 1)
    for i, j in np.argwhere(overlap).tolist():
        both = atoms[np.isin(atoms.chain_id, names[[i, j]])]
        if bonded_molecules(both).max() == 0:
            overlap[i, j] = 0
    return overlap


def without_asymmetric_bonds(atoms: AtomTable, polymers: set[str]) -> AtomTable:
    """Bonds between chains that not every copy of the polymer has are forgotten (AF3 SI 5.1)."""
    ends = atoms.bonds[:, :2]
    between = atoms.chain_id[ends[:, 0]] != atoms.chain_id[ends[:, 1]]
    crossing = [tuple(pair) for pair in ends[between].tolist()]
    if not crossing:
        return atoms
    removed: set[tuple[int, int]] = set()
    for bond in crossing:
        if bond not in removed:
            removed |= _asymmetric(atoms, bond, crossing, polymers)
    forgotten = np.array([tuple(pair) in removed for pair in ends.tolist()])
    return atoms.with_columns(bonds=atoms.bonds[~forgotten])


def _asymmetric(
    atoms: AtomTable, bond: tuple[int, int], crossing: list[tuple[int, int]], polymers: set[str]
) -> set[tuple[int, int]]:
    """The bonds to forget on account of one: itself if an atom is missing, else all its kind."""
    entity = [str(atoms.entity_id[row]) for row in bond]
    if entity[0] in polymers:
        i, j = bond
    elif entity[1] in polymers:
        j, i = bond
    else:
        return set()
    same = atoms.entity_id == atoms.entity_id[i]
    copies = len(np.unique(atoms.chain_id[same]))
    same &= (atoms.res_id == atoms.res_id[i]) & (atoms.atom_name == atoms.atom_name[i])
    twins = np.flatnonzero(same).tolist()
    if len(twins) != copies:
        return {bond}
    columns = [atoms.entity_id, atoms.res_name, atoms.atom_name]
    if str(atoms.entity_id[j]) in polymers:
        columns.append(atoms.res_id)
    kind = [column[j] for column in columns]
    found = set()
    complete = 0
    for twin in twins:
        partners = [pair for pair in crossing if twin in pair]
        others = [(pair[1] if pair[0] == twin else pair[0], pair) for pair in partners]
        matching = [pair for other, pair in others if [c[other] for c in columns] == kind]
        found |= set(matching[:1])
        complete += bool(matching)
    return found if complete != copies else set()
