# SPDX-License-Identifier: Apache-2.0
"""Which bonds the model is told (AF3 SI table 5, `token_bonds`) and which the loss scores."""

from __future__ import annotations

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.features.tokens import TokenTable
from protenix_ms.typing import Array, Float, Int, Shaped


def bond_features(
    atoms: AtomTable, tokens: TokenTable, distant_polymer_bonds: bool = True
) -> dict[str, Shaped[Array, "..."]]:
    """`token_bonds` (n, n) f32 and `bond_mask` (a, a) i64, both symmetric.

    Args:
        distant_polymer_bonds: tell the model of polymer bonds that the sequence does not imply;
            upstream does so in prediction and not in training.
    """
    token_bonds = _token_bonds(atoms, tokens, distant_polymer_bonds)
    return {"token_bonds": token_bonds, "bond_mask": _bond_mask(atoms)}


def _token_bonds(
    atoms: AtomTable, tokens: TokenTable, distant_polymer_bonds: bool
) -> Float[Array, "n n"]:
    """Bonds but those of the polymer itself, which the sequence implies.

    Left out: bonds between polymer residues, one of them standard or not the same residue.
    Kept all the same, in prediction: bonds between residues that do not follow one another
    (disulfides, cyclisation) or between chains (upstream `include_discont_poly_poly_bonds`).
    """
    first, second = atoms.bonds[:, 0], atoms.bonds[:, 1]
    polymer = atoms.extra["mol_type"] != "ligand"
    standard, uid = atoms.extra["standard"], atoms.extra["ref_space_uid"]
    implied = standard[first] | standard[second] | (uid[first] != uid[second])
    implied &= polymer[first] & polymer[second]
    apart = np.abs(atoms.res_id[first] - atoms.res_id[second]) > 1
    apart |= atoms.chain_id[first] != atoms.chain_id[second]
    told = ~implied | (apart & distant_polymer_bonds)
    pairs = tokens.atom_to_token[atoms.bonds[told, :2]]
    matrix = np.zeros((len(tokens), len(tokens)), np.float32)
    matrix[pairs[:, 0], pairs[:, 1]] = 1
    matrix[pairs[:, 1], pairs[:, 0]] = 1
    return matrix


def _bond_mask(atoms: AtomTable) -> Int[Array, "a a"]:
    """Bonds between a polymer and a ligand of more than one atom, for the bond loss (SI 3.7.1)."""
    first, second = atoms.bonds[:, 0], atoms.bonds[:, 1]
    asym = atoms.extra["asym_id"]
    ligand = atoms.extra["mol_type"] == "ligand"
    bonded = ligand & (np.bincount(asym)[asym] > 1)
    crossing = (bonded[first] & ~ligand[second]) | (bonded[second] & ~ligand[first])
    rows, columns = first[crossing], second[crossing]
    mask = np.zeros((len(atoms), len(atoms)), np.int64)
    mask[rows, columns] = 1
    mask[columns, rows] = 1
    return mask
