# SPDX-License-Identifier: Apache-2.0
"""One component as a residue of an atom table."""

from __future__ import annotations

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import Component
from protenix_ms.errors import ChemistryError


def residue_table(component: Component, res_id: int, hetero: bool) -> AtomTable:
    """All heavy atoms of a component, leaving atoms included; bonds in Kekule form.

    `charge` is upstream's `ref_charge`; chain and entity are "" until the assembly is made.

    Raises:
        ChemistryError: the component has no atoms (UNL, "unknown ligand").
    """
    n = len(component)
    if n == 0:
        raise ChemistryError(
            f"component {component.code} has no atoms in the dictionary",
            fix="give the molecule as SMILES or as a file",
        )
    return AtomTable(
        atom_name=component.atom_name,
        element=component.element,
        res_name=np.full(n, component.code),
        chain_id=np.full(n, ""),
        entity_id=np.full(n, ""),
        res_id=np.full(n, res_id, np.int64),
        charge=component.ref_charge,
        hetero=np.full(n, hetero),
        coord=np.zeros((n, 3), np.float32),
        ref_pos=component.ref_pos,
        ref_mask=component.ref_mask,
        bonds=np.column_stack([component.bonds, component.bond_order]).astype(np.int32),
    )
