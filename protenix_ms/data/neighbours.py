# SPDX-License-Identifier: Apache-2.0
"""Bonds between consecutive residues of a polymer (upstream `ccd.add_inter_residue_bonds`)."""

from __future__ import annotations

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.data.segments import changes, merged_bonds
from protenix_ms.features.lookup import map_unique
from protenix_ms.typing import Array, Bool, Float, Int, Shaped

_NUCLEIC = ("dna", "rna")
_TRAILING = ("N", "O3'")  # the end of a polymer bond that another link would occupy
_LEADING = ("C", "P")


def polymer_bonds(
    atoms: AtomTable,
    ccd: ComponentDictionary,
    max_jump: float | None = None,
    label_chain: Shaped[Array, "a"] | None = None,
) -> Int[Array, "p 3"]:
    """The table's bonds, with C-N and O3'-P between residues next to each other.

    A neighbour is the next residue of the same chain whose number is at most one higher. No bond
    is made, and one that is there is taken away, where the N or O3' is already linked to another
    kind of atom of an adjacent residue.

    Args:
        atoms: residues split by chain, number, name, and the column `insertion` when present.
        max_jump: longest bond, in angstrom, between different `label_chain`s.
    """
    columns = [atoms.chain_id, atoms.res_id, atoms.res_name]
    if "insertion" in atoms.extra:
        columns.append(atoms.extra["insertion"])
    starts = changes(*columns)
    residue = np.cumsum(starts) - 1
    pairs = _neighbour_pairs(atoms, np.flatnonzero(starts), residue, ccd)
    kept = ~_occupied(atoms, pairs, residue)
    if max_jump is not None:
        kept &= ~_far(atoms.coord, pairs, label_chain, max_jump)
    removed = pairs[~kept]
    bonds = atoms.bonds
    gone = np.isin(bonds[:, 0], removed[:, 0]) & np.isin(bonds[:, 1], removed[:, 1])
    return merged_bonds(bonds[~gone], np.insert(pairs[kept], 2, 1, axis=1))


def _neighbour_pairs(
    atoms: AtomTable, starts: Int[Array, "r"], residue: Int[Array, "a"], ccd: ComponentDictionary
) -> Int[Array, "k 2"]:
    kind = map_unique(atoms.res_name[starts], ccd.mol_type, "U7")
    chain, number = atoms.chain_id[starts], atoms.res_id[starts]
    beside = (chain[1:] == chain[:-1]) & (number[1:] - number[:-1] <= 1)
    nucleic = np.isin(kind, _NUCLEIC)
    peptide = beside & (kind[:-1] == "protein") & (kind[1:] == "protein")
    chained = beside & nucleic[:-1] & nucleic[1:]
    found = []
    for joined, leaving, arriving in ((peptide, "C", "N"), (chained, "O3'", "P")):
        first = _first_rows(atoms, residue, len(starts), leaving)[:-1]
        second = _first_rows(atoms, residue, len(starts), arriving)[1:]
        both = joined & (first >= 0) & (second >= 0)
        found.append(np.stack([first[both], second[both]], axis=1))
    return np.concatenate(found)


def _first_rows(atoms: AtomTable, residue: Int[Array, "a"], count: int, name: str) -> Array:
    """Row of the first atom of that name in every residue, -1 without."""
    rows = np.flatnonzero(atoms.atom_name == name)[::-1]
    first = np.full(count, -1, np.int64)
    first[residue[rows]] = rows
    return first


def _occupied(
    atoms: AtomTable, pairs: Int[Array, "k 2"], residue: Int[Array, "a"]
) -> Bool[Array, "k"]:
    """Pairs whose N or O3' is bonded to an adjacent residue's atom other than C or P."""
    trailing = np.isin(atoms.atom_name[pairs[:, 0]], _TRAILING)
    centre = np.where(trailing, pairs[:, 0], pairs[:, 1])
    both_ways = np.concatenate([atoms.bonds[:, :2], atoms.bonds[:, 1::-1]])
    own, other = both_ways[:, 0], both_ways[:, 1]
    blocking = np.abs(residue[own] - residue[other]) == 1
    blocking &= atoms.chain_id[own] == atoms.chain_id[other]
    blocking &= ~np.isin(atoms.atom_name[other], _LEADING)
    return np.isin(centre, own[blocking])


def _far(
    coord: Float[Array, "a 3"], pairs: Int[Array, "k 2"], chain: Array, limit: float
) -> Bool[Array, "k"]:
    first, second = pairs[:, 0], pairs[:, 1]
    apart = np.linalg.norm(coord[first] - coord[second], axis=1)
    return (chain[first] != chain[second]) & (apart > limit)
