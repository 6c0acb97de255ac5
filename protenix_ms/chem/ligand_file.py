# SPDX-License-Identifier: Apache-2.0
"""Ligand files: exactly one molecule of bounded size, whose bond orders the file tells."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem, rdBase

from protenix_ms.errors import ChemistryError
from protenix_ms.job import LIGAND_SUFFIXES
from protenix_ms.typing import Array, Bool

MOST_HEAVY = 500  # heavy atoms of a molecule that has no component code
_MOST_ATOMS = 5 * MOST_HEAVY  # with hydrogens, counted in the text before RDKit reads it
_MOST_BYTES = 1 << 20  # of one molecule
_FARTHEST = 1e4  # angstrom from the origin
_NO_NUMBER = re.compile(r".*\s[-+]?(nan|inf|infinity)\b", re.IGNORECASE)
_LARGEST_FILE = 64 << 20  # up to here the molecules of a file are counted


def molecule_from_file(path: Path) -> Chem.Mol:
    """Read the molecule of an SDF, MOL, MOL2 or PDB file; RDKit drops its hydrogens.

    Raises:
        ChemistryError: unknown ending, absent or unreadable file, several molecules, more than
            `MOST_HEAVY` heavy atoms, bond orders that the file does not tell, no 3D, no atoms,
            dummy atoms, coordinates that are no numbers or far out.
    """
    where = f"ligand file {path}"
    kind = path.suffix.lower()
    if kind not in LIGAND_SUFFIXES:
        raise ChemistryError(f"unknown ending '{path.suffix}'", where=where,
                             fix="convert it to .sdf, .mol, .mol2 or .pdb")
    text = _one_molecule(_text(path, where), kind, where)
    with rdBase.BlockLogs():
        mol = _read(text, kind)
        _check_positions(mol, text, kind, where)
        if mol is None:
            raise ChemistryError("RDKit cannot read a molecule from it", where=where,
                                 fix="check that valences and charges are right, or write it anew")
        check_atoms(mol, where)
        if kind == ".pdb" and not _tells_orders(mol, text):
            raise ChemistryError("a PDB file does not tell bond orders", where=where,
                                 fix="give the ligand as SDF, MOL2 or SMILES, or repeat the CONECT "
                                 "record of every double bond")
    flat = not mol.GetNumConformers() or not mol.GetConformer().Is3D()
    if flat or (mol.GetNumAtoms() > 1 and np.ptp(mol.GetConformer().GetPositions()) == 0):
        raise ChemistryError("it has no 3D coordinates", where=where,
                             fix="give the molecule as SMILES or add 3D coordinates")
    return mol


def _check_positions(mol: Chem.Mol | None, text: str, kind: str, where: str) -> None:
    """Refuse coordinates that are no numbers or far out; mol is None where RDKit reads nothing."""
    place = ""
    if mol is None and kind != ".mol2":
        lines = enumerate(text.split("\n"), 1)
        place = next((f"the atom in line {number} ({line.strip()[:60]!a})" for number, line in lines
                      if _NO_NUMBER.match(line) and (kind == ".pdb" or number > 4)), "")
    elif mol is not None and mol.GetNumConformers():
        if not _far_out(mol).any():
            return
        whole = _read(text, kind, removeHs=False) or mol
        atom = int(np.argmax(_far_out(whole)))
        place = f"atom {atom + 1} ({whole.GetAtomWithIdx(atom).GetSymbol()})"
    if place:
        raise ChemistryError(f"{place} has a coordinate that is no number or beyond "
                             f"{_FARTHEST:.0f} angstrom", where=where, fix="correct the file")


def _far_out(mol: Chem.Mol) -> Bool[Array, "a"]:
    """Mark atoms with a coordinate that is not a number of at most `_FARTHEST` angstrom."""
    far: Bool[Array, "a"] = ~(np.abs(mol.GetConformer().GetPositions()) <= _FARTHEST).all(axis=1)
    return far


def check_atoms(mol: Chem.Mol, where: str) -> None:
    """Refuse what has no heavy atom, too many of them, or an atom without element."""
    if not any(atom.GetAtomicNum() > 1 for atom in mol.GetAtoms()):
        dummy = any(atom.GetAtomicNum() == 0 for atom in mol.GetAtoms())
        raise ChemistryError("it has no atoms but hydrogen" + (" and dummies" if dummy else ""),
                             where=where, fix="give a molecule with at least one heavy atom")
    dummies = [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0]
    if dummies:
        raise ChemistryError(
            f"atom {dummies[0] + 1} is a dummy (written *, R or X)", where=where,
            fix="replace it by an element, and describe attachments in covalent_bonds",
        )
    require_size(mol.GetNumHeavyAtoms(), where)


def require_size(heavy: int, where: str) -> None:
    """Refuse a ligand of more than `MOST_HEAVY` heavy atoms."""
    if heavy > MOST_HEAVY:
        raise ChemistryError(f"it has {heavy} heavy atoms, a ligand at most {MOST_HEAVY}",
                             where=where, fix="write it as a polymer or as several components "
                             "with covalent_bonds")


def _text(path: Path, where: str) -> str:
    try:
        if not path.is_file():
            raise ChemistryError("there is no such file", where=where, fix="check the path")
        if (size := path.stat().st_size) > _LARGEST_FILE:
            raise ChemistryError(f"it has {size / 1e6:.0f} MB", where=where,
                                 fix="give a file of one molecule")
        text = path.read_bytes().decode("utf-8-sig", "replace")
    except OSError as error:
        raise ChemistryError(f"it cannot be read ({error.strerror})", where=where,
                             fix="check the path and its permissions") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _one_molecule(text: str, kind: str, where: str) -> str:
    """Cut the molecule out of the text; refuse several molecules and one that is too large."""
    atoms, parts = 0, "molecules"
    if kind == ".pdb":
        lines = [line for line in text.split("\n") if line.startswith(("ATOM  ", "HETATM"))]
        blocks = re.split("^(?:END|MODEL)", text, flags=re.MULTILINE)
        models = sum(bool(re.search("^(?:ATOM  |HETATM)", b, re.MULTILINE)) for b in blocks)
        count, parts = len({line[17:27] for line in lines}), "residues"
        if models > 1:
            count, parts = models, "models"
        atoms, others = len(lines), {line[16:17] for line in lines} - {" ", ""}
        if len(others) > 1 and count == 1:
            count, parts = len(others), "alternative positions of atoms"
    elif kind == ".mol2":
        blocks = re.split("^@<TRIPOS>", text, flags=re.MULTILINE)
        count = sum(block.startswith("MOLECULE") for block in blocks)
        atoms = sum(block.count("\n") for block in blocks if block.startswith("ATOM"))
    else:
        records = [r for r in re.split(r"^\$\$\$\$.*$", text, flags=re.MULTILINE) if r.strip()]
        count = max(len(records), len(re.findall("^M  END", text, re.MULTILINE)))
        head, end, _ = (records or [""])[0].partition("\nM  END")
        text = f"{head}{end}\n"
        stated = re.search(r"^M  V30 COUNTS (\d{1,18})", text, re.MULTILINE)
        atoms = int(stated[1]) if stated else 0  # the older format cannot count beyond 999
    if count > 1:
        raise ChemistryError(f"it holds {count} {parts}", where=where,
                             fix="give one molecule per file")
    if atoms > _MOST_ATOMS or len(text) > _MOST_BYTES:
        size = f"{atoms} atoms" if atoms > _MOST_ATOMS else f"{len(text) / 1e6:.1f} MB of text"
        raise ChemistryError(f"it holds {size}, a ligand at most {MOST_HEAVY} heavy atoms",
                             where=where, fix="write it as a polymer or as several components "
                             "with covalent_bonds")
    return text


def _read(text: str, kind: str, **options: bool) -> Chem.Mol | None:
    readers: dict[str, Any] = {".mol2": Chem.MolFromMol2Block, ".pdb": Chem.MolFromPDBBlock}
    mol: Chem.Mol | None = None
    with suppress(RuntimeError, ValueError):
        mol = readers.get(kind, Chem.MolFromMolBlock)(text, **options)
    return mol


def _tells_orders(mol: Chem.Mol, text: str) -> bool:
    """Tell whether a PDB file leaves no doubt about the orders of its bonds.

    It does so by CONECT records of every bond of which some are repeated for double bonds, or by
    hydrogens that fill every valence at single bonds. RDKit takes any other bond for single.
    """
    whole = _read(text, ".pdb", removeHs=False)
    if whole is not None and not any(atom.GetNumImplicitHs() for atom in whole.GetAtoms()):
        return True
    stated = _read(text, ".pdb", proximityBonding=False)
    multiple = any(bond.GetBondTypeAsDouble() > 1 for bond in mol.GetBonds())
    complete = stated is not None and stated.GetNumBonds() == mol.GetNumBonds()
    return mol.GetNumAtoms() == 1 or (multiple and complete)
