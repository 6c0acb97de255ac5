# SPDX-License-Identifier: Apache-2.0
"""Bond consecutive residues of polymers (upstream `ccd.add_inter_residue_bonds`)."""

from __future__ import annotations

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.columns import first_rows, map_unique, merge_bonds, starts_of_runs
from protenix_ms.typing import Array, Bool, Int, Shaped

_TRAILING = ("N", "O3'")  # the end of a polymer bond that another link would occupy
_LEADING = ("C", "P")


def bond_neighbours(
    atoms: AtomTable, ccd: ComponentDictionary, insertion: Shaped[Array, "a"] | None = None,
    label_chain: Shaped[Array, "a"] | None = None, max_jump: float = np.inf,
) -> Int[Array, "p 3"]:  # fmt: skip
    """List the table's bonds, with C-N and O3'-P between residues next to each other.

    A neighbour is the next residue of the same chain whose number is at most one higher. No bond
    is made, and one that is there is removed, where the N or O3' is already linked to another
    kind of atom of an adjacent residue.

    Args:
        insertion: insertion codes, which tell residues of the same number apart.
        label_chain: chains between which a bond may be at most `max_jump` angstrom long.
    """
    columns = [atoms.chain_id, atoms.res_id, atoms.res_name]
    starts = starts_of_runs(*columns, *([] if insertion is None else [insertion]))
    residue = np.cumsum(starts) - 1
    pairs = _neighbour_pairs(atoms, starts, ccd)
    first, second = pairs.T
    kept = ~_occupied(atoms, pairs, residue)
    if label_chain is not None:
        far = np.linalg.norm(atoms.coord[first] - atoms.coord[second], axis=1) > max_jump
        kept &= ~(far & (label_chain[first] != label_chain[second]))
    bonds = atoms.bonds
    gone = np.isin(bonds[:, 0], first[~kept]) & np.isin(bonds[:, 1], second[~kept])
    return merge_bonds(bonds[~gone], np.insert(pairs[kept], 2, 1, axis=1))


def _neighbour_pairs(
    atoms: AtomTable, starts: Bool[Array, "a"], ccd: ComponentDictionary
) -> Int[Array, "k 2"]:
    """List the rows of the atoms that join a residue to the next one."""
    kind = map_unique(atoms.res_name[starts], ccd.mol_type, "U7")
    chain, number = atoms.chain_id[starts], atoms.res_id[starts]
    beside = (chain[1:] == chain[:-1]) & (number[1:] - number[:-1] <= 1)
    pairs = []
    for leaving, arriving, kinds in (("C", "N", ("protein",)), ("O3'", "P", ("dna", "rna"))):
        member = np.isin(kind, kinds)
        ends = np.stack([first_rows(atoms.atom_name == leaving, starts)[:-1],
                         first_rows(atoms.atom_name == arriving, starts)[1:]], axis=1)
        pairs.append(ends[beside & member[:-1] & member[1:] & (ends >= 0).all(axis=1)])
    return np.concatenate(pairs)


def _occupied(
    atoms: AtomTable, pairs: Int[Array, "k 2"], residue: Int[Array, "a"]
) -> Bool[Array, "k"]:
    """Mark pairs whose N or O3' is bonded to an adjacent residue's atom other than C or P."""
    trailing = np.isin(atoms.atom_name[pairs[:, 0]], _TRAILING)
    centre = np.where(trailing, pairs[:, 0], pairs[:, 1])
    own, other = np.concatenate([atoms.bonds[:, :2], atoms.bonds[:, 1::-1]]).T
    blocking = np.abs(residue[own] - residue[other]) == 1
    blocking &= atoms.chain_id[own] == atoms.chain_id[other]
    blocking &= ~np.isin(atoms.atom_name[other], _LEADING)
    return np.isin(centre, own[blocking])
