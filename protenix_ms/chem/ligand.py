# SPDX-License-Identifier: Apache-2.0
"""Ligands from component codes, SMILES and files (upstream `json_parser.build_ligand`)."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
from rdkit import Chem, rdBase

from protenix_ms.chem.atom_table import AtomTable, concatenate
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.conformer import ligand_conformer
from protenix_ms.chem.ligand_file import check_atoms, molecule_from_file, require_size
from protenix_ms.chem.residue import residue_table
from protenix_ms.errors import ChemistryError
from protenix_ms.job import Ligand
from protenix_ms.typing import Array, Float, Int

MOST_NAMED = 99  # l01 ... l99, upstream's names
_LONGEST_SMILES = 20_000  # characters
_SMILES_ATOM = re.compile(r"\[[^\]]*\]|Br|Cl|[BCNOPSFIbcnops*]")
_SMILES_HYDROGEN = re.compile(r"\[\d*H(?![a-z])")
_ORDER = {
    Chem.BondType.SINGLE: 1, Chem.BondType.DOUBLE: 2, Chem.BondType.TRIPLE: 3,
    Chem.BondType.DATIVE: 1, Chem.BondType.AROMATIC: 4,
}


def build_ligand(ligand: Ligand, ccd: ComponentDictionary, seed: int, index: int) -> AtomTable:
    """Make the heavy atoms of one copy of a ligand.

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
    if ligand.codes:
        residues = enumerate(ligand.codes, 1)
        return concatenate([residue_table(ccd[code], i, hetero=True) for i, code in residues])
    if not 1 <= index <= MOST_NAMED:
        raise ChemistryError(
            f"more than {MOST_NAMED} ligands are given as SMILES or files",
            fix="use CCD codes for some, or the count field for copies",
        )
    mol, position = ligand_molecule(ligand, seed)
    return molecule_table(mol, position, f"l{index:02d}")


def ligand_molecule(ligand: Ligand, seed: int) -> tuple[Chem.Mol, Float[Array, "a 3"]]:
    """Make the RDKit molecule (atoms in upstream's order) and coordinates of a ligand.

    Raises:
        ChemistryError: see `build_ligand`.
    """
    if ligand.file is not None:
        mol = molecule_from_file(ligand.file)
        return mol, mol.GetConformer().GetPositions().astype(np.float32)
    mol = molecule_from_smiles(ligand.smiles or "")
    try:
        return mol, ligand_conformer(mol, seed)
    except ChemistryError as error:
        place = f"SMILES '{_shortened(ligand.smiles or '')}'"
        raise ChemistryError(error.message, where=place, fix=error.fix) from None


def molecule_from_smiles(smiles: str) -> Chem.Mol:
    """Read a SMILES; hydrogens are added after the heavy atoms.

    Raises:
        ChemistryError: not a SMILES, no atoms, too many, or dummy atoms.
    """
    where = f"SMILES '{_shortened(smiles)}'"
    require_small_smiles(smiles)
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        if mol is None:
            fix = "correct it, or give a CCD code (CCD_) or a file (FILE_)"
            if re.fullmatch("[A-Z0-9]{1,5}", smiles):
                fix = (f"write CCD_{smiles} for the component {smiles}, or name the dialect of "
                       'AlphaFold Server ("dialect": "alphafoldserver", "version": 1)')
            raise ChemistryError(_smiles_fault(smiles), where=where, fix=fix)
        check_atoms(mol, where)
        return Chem.AddHs(mol)


def require_small_smiles(smiles: str) -> None:
    """Refuse a SMILES of too many heavy atoms by its text: RDKit takes gigabytes for some.

    Raises:
        ChemistryError: more than `ligand_file.MOST_HEAVY` heavy atoms, or an endless text.
    """
    where = f"SMILES '{_shortened(smiles)}'"
    if len(smiles) > _LONGEST_SMILES:
        raise ChemistryError(f"it has {len(smiles)} characters, at most {_LONGEST_SMILES} are read",
                             where=where, fix="give a smaller molecule")
    atoms = _SMILES_ATOM.findall(smiles)
    require_size(sum(not _SMILES_HYDROGEN.match(atom) for atom in atoms), where)


def molecule_table(mol: Chem.Mol, position: Float[Array, "a 3"], res_name: str) -> AtomTable:
    """Make a residue of the heavy atoms of a molecule, with Kekule bond orders where possible."""
    atoms = list(mol.GetAtoms())
    element = np.array([atom.GetSymbol().upper() for atom in atoms])
    n = len(atoms)
    table = AtomTable(
        atom_name=np.array(atom_names(mol)),
        element=element,
        res_name=np.full(n, res_name),
        chain_id=np.full(n, ""),
        entity_id=np.full(n, ""),
        res_id=np.ones(n, np.int64),
        charge=np.array([atom.GetFormalCharge() for atom in atoms], np.int64),
        hetero=np.ones(n, bool),
        coord=np.zeros((n, 3), np.float32),
        ref_pos=position.astype(np.float32),
        ref_mask=np.ones(n, np.int64),
        bonds=_kekule_bonds(mol),
        atom_index=np.arange(n),
        atom_map=np.array([atom.GetAtomMapNum() or -1 for atom in atoms], np.int64),
    )
    return table[element != "H"]


def atom_names(mol: Chem.Mol) -> list[str]:
    """Name the atoms as upstream: element in upper case and its running number, hydrogens too."""
    seen: Counter[str] = Counter()
    names = []
    for atom in mol.GetAtoms():
        element = atom.GetSymbol().upper()
        seen[element] += 1
        names.append(f"{element}{seen[element]}")
    return names


def _kekule_bonds(mol: Chem.Mol) -> Int[Array, "p 3"]:
    """List bonds [p, 3] with orders; aromatic ones alternate, or are 4 where RDKit cannot tell."""
    work = Chem.RWMol(mol)
    try:
        Chem.Kekulize(work, clearAromaticFlags=True)
    except Chem.KekulizeException:
        work = mol
    rows = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), _ORDER.get(bond.GetBondType(), 0))
            for bond in work.GetBonds()]
    return np.array(rows, np.int32).reshape(-1, 3)


def _smiles_fault(smiles: str) -> str:
    """Tell whether RDKit fails on the grammar or on the chemistry, and where."""
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    if mol is None:
        return "it is not valid SMILES"
    problems = [problem.Message() for problem in Chem.DetectChemistryProblems(mol)]
    return f"it is not a possible molecule ({problems[0] if problems else 'RDKit refuses it'})"


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
