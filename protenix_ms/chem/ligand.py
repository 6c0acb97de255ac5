# SPDX-License-Identifier: Apache-2.0
"""Ligands from component codes, SMILES and files (upstream `json_parser.build_ligand`)."""

from __future__ import annotations

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.job import Ligand


def build_ligand(ligand: Ligand, ccd: ComponentDictionary, seed: int, index: int) -> AtomTable:
    """The heavy atoms of one copy of a ligand.

    Component codes: one residue per code, residue numbers 1, 2, ..., leaving atoms kept, no bonds
    between residues (they come from `covalent_bonds` only, as upstream). SMILES and files: one
    residue named ``l{index:02d}``, atoms named element + running number over all atoms.

    `chain_id` and `entity_id` are "" for the caller to fill; `hetero` is True; `coord` is zero.
    Extra columns, by which covalent bonds may address atoms of SMILES and file ligands:
    `atom_index` (0-based, in RDKit's order, the order of the SMILES text) and `atom_map`
    (map number of the SMILES, e.g. 1 in ``[C:1]``); -1 where there is none.

    Args:
        seed: seed of the conformer of a SMILES ligand; unused otherwise.
        index: running number (from 1, at most 99) among the job's SMILES and file ligands.

    Raises:
        ChemistryError: unknown code, unparsable SMILES, unreadable file or one without 3D, dummy
            atoms, no atoms, or no conformer within the time limit.
    """
    raise NotImplementedError
