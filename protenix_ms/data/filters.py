# SPDX-License-Identifier: Apache-2.0
"""Filter residues and chains of a deposit (AF3 SI 2.1, 2.5.4; upstream `Filter`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.columns import connected_groups
from protenix_ms.constants.restypes import CRYSTALLIZATION_AIDS
from protenix_ms.features.annotation import AnnotatedAtoms
from protenix_ms.geometry.distances import near_pairs
from protenix_ms.typing import Array, Int

Polymers = dict[str, str]  # entity -> `_entity_poly.type`

MAX_CA_STEP = 10.0  # angstrom between consecutive alpha carbons
INTERFACE_RADIUS = 15.0  # angstrom between centre atoms
MAX_MOLECULES = 20
MAX_TOKENS = 5120
CLASH_DISTANCE = 1.6  # angstrom; AF3 says 1.7, upstream takes 1.6
MAX_CLASH_SHARE = 0.3
_SEED = 42  # upstream's choice of the centre does not change from run to run
_UNKNOWN_RESIDUE = {
    "polypeptide(L)": "UNK", "polyribonucleotide": "N", "polydeoxyribonucleotide": "N",
}  # fmt: skip
# Ambiguous residues are read as the more symmetric of the two: component -> (name, atom names)
_AMBIGUOUS = {
    "ASX": ("ASP", {"XD1": "OD1", "XD2": "OD2"}),
    "GLX": ("GLU", {"XE1": "OE1", "XE2": "OE2"}),
}


def without_water_and_hydrogen(atoms: AtomTable) -> AtomTable:
    """Keep heavy atoms of everything but (heavy) water."""
    unwanted = np.isin(atoms.res_name, ("HOH", "DOD")) | np.isin(atoms.element, ("H", "D"))
    return atoms[~unwanted]


def without_unknown_chains(atoms: AtomTable, polymers: Polymers) -> AtomTable:
    """Drop polymer chains whose residues are all unknown."""

    def is_unknown(rows: slice) -> bool:
        kind = polymers.get(str(atoms.entity_id[rows.start]), "")
        return bool((atoms.res_name[rows] == _UNKNOWN_RESIDUE.get(kind)).all())

    return _without_chains(atoms, is_unknown)


def without_torn_chains(atoms: AtomTable, polymers: Polymers) -> AtomTable:
    """Drop protein chains with neighbouring residues over 10 angstrom apart."""

    def is_torn(rows: slice) -> bool:
        if polymers.get(str(atoms.entity_id[rows.start])) != "polypeptide(L)":
            return False
        alpha = np.flatnonzero(atoms.atom_name[rows] == "CA") + rows.start
        far = (np.diff(atoms.coord[alpha], axis=0) ** 2).sum(1) > MAX_CA_STEP**2
        return bool((far & (np.diff(atoms.res_id[alpha]) == 1)).any())

    return _without_chains(atoms, is_torn)


def _without_chains(atoms: AtomTable, wrong: Callable[[slice], bool]) -> AtomTable:
    dropped = np.zeros(len(atoms), bool)
    for rows in atoms.chains():
        dropped[rows] = wrong(rows)
    return atoms[~dropped]


def with_arginines_named(atoms: AtomTable) -> AtomTable:
    """Swap the coordinates of NH1 and NH2 where NH1 is not the nitrogen nearer to CD."""
    coord = atoms.coord.copy()
    for rows in atoms.residues():
        if atoms.res_name[rows.start] != "ARG":
            continue
        place = {name: row for row, name in enumerate(atoms.atom_name[rows].tolist(), rows.start)}
        if not place.keys() >= {"CD", "NH1", "NH2"}:
            continue
        pair = [place["NH1"], place["NH2"]]
        near, far = ((coord[pair] - coord[place["CD"]]) ** 2).sum(1)
        if far < near:
            coord[pair] = coord[pair[::-1]]
    return atoms.with_columns(coord=coord)


def without_unknown_elements(atoms: AtomTable) -> AtomTable:
    """Drop unknown atoms and ligands; ASX becomes ASP, GLX becomes GLU."""
    atoms = atoms[~np.isin(atoms.res_name, ("UNX", "UNL"))]
    names, codes, elements = atoms.atom_name, atoms.res_name, atoms.element
    for code, (meant, renamed) in _AMBIGUOUS.items():
        rows = atoms.res_name == code
        codes = np.where(rows, meant, codes)
        elements = np.where(rows & (elements == "X"), "O", elements)
        for old, new in renamed.items():
            names = np.where(rows & (names == old), new, names)
    return atoms.with_columns(atom_name=names, res_name=codes, element=elements)


def without_crystallization_aids(atoms: AtomTable, polymers: Polymers) -> AtomTable:
    """Drop buffer, cryoprotectants and the like unless they are part of a polymer."""
    aid = np.isin(atoms.res_name, list(CRYSTALLIZATION_AIDS))
    return atoms[~aid | np.isin(atoms.entity_id, list(polymers))]


def bonded_molecules(atoms: AtomTable) -> Int[Array, "a"]:
    """Number the groups of atoms joined by bonds, by first atom."""
    return connected_groups(len(atoms), atoms.bonds[:, :2])


def nearest_molecules(atoms: AnnotatedAtoms, molecule: Int[Array, "a"]) -> AnnotatedAtoms | None:
    """Keep at most 20 molecules around an interface atom, more below 5120 tokens.

    Molecules (chains with what is bonded to them) stand for the paper's chains. None when no two
    molecules come within 15 angstrom of each other.
    """
    if len(np.unique(molecule)) <= MAX_MOLECULES:
        return atoms
    centres = atoms.resolved_centres()
    coord, owner = atoms.coord[centres], molecule[centres]
    order = np.arange(len(centres))
    np.random.default_rng(seed=_SEED).shuffle(order)
    chosen = _first_at_interface(coord, owner, order)
    if chosen is None:
        return None
    distance = np.linalg.norm(coord.astype(np.float64) - coord[chosen], axis=1)
    token_count = np.bincount(molecule, atoms.centre_atom_mask).astype(np.int64)
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


def _first_at_interface(coord: Array, owner: Array, order: Array) -> int | None:
    """Find the first atom in `order` with another molecule's atom around it."""
    for index in order:
        near = ((coord - coord[index]) ** 2).sum(1) <= INTERFACE_RADIUS**2
        if (owner[near] != owner[index]).any():
            return int(index)
    return None


def without_clashing_chains(atoms: AnnotatedAtoms) -> AnnotatedAtoms:
    """Drop one of two chains that overlap by over 30 % of their centre atoms.

    The one with the larger share of overlap goes, then the one with fewer atoms, then the one
    whose name comes later. Chains that bonds join into one molecule never clash. A chain without
    any resolved centre atom always loses, as in upstream, where its share is 0/0.
    """
    names = np.unique(atoms.chain_id[atoms.is_resolved])
    rows = atoms.resolved_centres()
    chain = np.searchsorted(names, atoms.chain_id[rows])
    sizes = np.bincount(chain, minlength=len(names)).tolist()
    overlap = _overlaps(atoms, names, rows, chain).tolist()
    removed = np.zeros(len(names), bool)
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            if removed[i]:
                break
            if not removed[j]:
                loser = clash_loser((i, j), (overlap[i][j], overlap[j][i]), (sizes[i], sizes[j]))
                removed[list(loser)] = True
    return atoms[~np.isin(atoms.chain_id, names[removed])]


def clash_loser(
    pair: tuple[int, int], overlap: tuple[int, int], sizes: tuple[int, int]
) -> tuple[int, ...]:
    """Choose the chain of a pair that has to go: none or one.

    Args:
        overlap: number of centre atoms of each that lie on the other.
        sizes: number of centre atoms of each.
    """
    share = [count / size if size else np.nan for count, size in zip(overlap, sizes)]
    if share[0] <= MAX_CLASH_SHARE and share[1] <= MAX_CLASH_SHARE:
        return ()
    for left, right in (share, (-sizes[0], -sizes[1])):
        if left != right and not np.isnan(left + right):
            return (pair[0],) if left > right else (pair[1],)
    return (pair[1],)


def _overlaps(atoms: AtomTable, names: Array, rows: Array, chain: Array) -> Int[Array, "c c"]:
    """Count the centre atoms of chain i (row) that lie on one of chain j (column)."""
    pairs = near_pairs(atoms.coord[rows], atoms.coord[rows], CLASH_DISTANCE)
    pairs = pairs[chain[pairs[:, 0]] != chain[pairs[:, 1]]]
    hits = np.unique(np.stack([pairs[:, 0], chain[pairs[:, 1]]], axis=1), axis=0)
    overlap = np.zeros((len(names), len(names)), np.int64)
    np.add.at(overlap, (chain[hits[:, 0]], hits[:, 1]), 1)
    for i, j in np.argwhere(overlap).tolist():
        both = atoms[np.isin(atoms.chain_id, names[[i, j]])]
        if bonded_molecules(both).max() == 0:
            overlap[i, j] = 0
    return overlap


def without_asymmetric_bonds(atoms: AnnotatedAtoms, polymers: set[str]) -> AnnotatedAtoms:
    """Forget bonds between chains that not every copy of the polymer has (AF3 SI 5.1)."""
    ends = atoms.bonds[:, :2]
    between = atoms.chain_id[ends[:, 0]] != atoms.chain_id[ends[:, 1]]
    crossing = [tuple(pair) for pair in ends[between].tolist()]
    removed: set[tuple[int, ...]] = set()
    for bond in crossing:
        if bond not in removed:
            removed |= _asymmetric(atoms, bond, crossing, polymers)
    kept = [tuple(pair) not in removed for pair in ends.tolist()]
    return atoms.with_columns(bonds=atoms.bonds[np.array(kept, bool)])


def _asymmetric(
    atoms: AtomTable, bond: tuple[int, ...], crossing: list[tuple[int, ...]], polymers: set[str]
) -> set[tuple[int, ...]]:
    """List the bonds to forget because of one: itself if an atom is missing, else all its kind."""
    i, j = bond if atoms.entity_id[bond[0]] in polymers else bond[::-1]
    if atoms.entity_id[i] not in polymers:
        return set()
    same = atoms.entity_id == atoms.entity_id[i]
    copies = len(np.unique(atoms.chain_id[same]))
    same &= (atoms.res_id == atoms.res_id[i]) & (atoms.atom_name == atoms.atom_name[i])
    twins = np.flatnonzero(same).tolist()
    if len(twins) != copies:
        return {bond}
    columns = [atoms.entity_id, atoms.res_name, atoms.atom_name]
    if atoms.entity_id[j] in polymers:
        columns.append(atoms.res_id)
    alike: list[tuple[int, ...]] = []
    for twin in twins:
        partners = [(pair[pair[0] == twin], pair) for pair in crossing if twin in pair]
        alike += [pair for other, pair in partners if all(c[other] == c[j] for c in columns)][:1]
    return set(alike) if len(alike) != copies else set()
