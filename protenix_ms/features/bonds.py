# SPDX-License-Identifier: Apache-2.0
"""Select the bonds that the model is told of (AF3 SI table 5) and those that the loss scores."""

from __future__ import annotations

import numpy as np

from protenix_ms.features.annotation import AnnotatedAtoms
from protenix_ms.features.tokens import TokenTable
from protenix_ms.typing import Array, Int, Shaped


def bond_features(
    atoms: AnnotatedAtoms, tokens: TokenTable, distant_polymer_bonds: bool = True
) -> dict[str, Shaped[Array, "..."]]:
    """Make `token_bonds` (n, n) f32 and `bond_mask` (a, a) i64, both symmetric.

    Args:
        distant_polymer_bonds: tell the model of polymer bonds that the sequence does not imply;
            upstream does so in prediction and not in training.
    """
    ends = tokens.atom_to_token[_told_bonds(atoms, distant_polymer_bonds)]
    return {
        "token_bonds": _symmetric(ends, len(tokens), np.float32),
        "bond_mask": _symmetric(_scored_bonds(atoms), len(atoms), np.int64),
    }


def _told_bonds(atoms: AnnotatedAtoms, distant_polymer_bonds: bool) -> Int[Array, "k 2"]:
    """List all bonds but those of the polymer itself, which the sequence implies.

    Left out: bonds between polymer residues, one of them standard or not the same residue.
    Kept all the same, in prediction: bonds between residues that do not follow one another
    (disulfides, cyclisation) or between chains (upstream `include_discont_poly_poly_bonds`).
    """
    first, second = atoms.bonds[:, 0], atoms.bonds[:, 1]
    polymer = atoms.mol_type != "ligand"
    standard, uid = atoms.standard, atoms.ref_space_uid
    implied = standard[first] | standard[second] | (uid[first] != uid[second])
    implied &= polymer[first] & polymer[second]
    apart = np.abs(atoms.res_id[first] - atoms.res_id[second]) > 1
    apart |= atoms.chain_id[first] != atoms.chain_id[second]
    return atoms.bonds[~implied | (apart & distant_polymer_bonds), :2]


def _scored_bonds(atoms: AnnotatedAtoms) -> Int[Array, "k 2"]:
    """List the bonds of polymers to ligands of several atoms, for the bond loss (SI 3.7.1)."""
    first, second = atoms.bonds[:, 0], atoms.bonds[:, 1]
    asym = atoms.asym_id
    ligand = atoms.mol_type == "ligand"
    bonded = ligand & (np.bincount(asym)[asym] > 1)
    crossing = (bonded[first] & ~ligand[second]) | (bonded[second] & ~ligand[first])
    return atoms.bonds[crossing, :2]


def _symmetric(pairs: Int[Array, "k 2"], size: int, dtype: type) -> Shaped[Array, "s s"]:
    matrix: Array = np.zeros((size, size), dtype)
    matrix[pairs[:, 0], pairs[:, 1]] = matrix[pairs[:, 1], pairs[:, 0]] = 1
    return matrix
