# SPDX-License-Identifier: Apache-2.0
"""Reference conformers by distance geometry (AF3 SI 2.8: RDKit, ETKDGv3), seeded and bounded.

Upstream embeds without a seed: its conformers can be imported, never regenerated.
"""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom

from protenix_ms.errors import ChemistryError
from protenix_ms.typing import Array, Float

LARGE = 150  # heavy atoms above which RDKit works in a child process (it has crashed on such)
CHILD_MEMORY = 4 << 30  # bytes of address space that the child process may take
_NO_MEMORY = 77  # the child's exit code when they are not enough
PLAIN_SECONDS = 8.0  # for a molecule without its stereochemistry, which is easier
GRACE = 12.0  # seconds a child may take beyond the embedding itself: start, imports, clean-up
_OTHER_FORM = "give the ligand as a file with 3D coordinates or as a CCD code"


class ConformerSource(IntEnum):
    """Where a reference conformer comes from."""

    NONE = 0
    ETKDG = 1
    RANDOM_COORDINATES = 2  # ETKDG from random coordinates
    IDEAL = 3  # the dictionary's ideal coordinates
    MODEL = 4  # the dictionary's experimental coordinates
    IMPORTED = 5  # given by the user in a file
    DISTANCES_ONLY = 6  # random coordinates, no knowledge of torsions or ring shapes


DICTIONARY_CHAIN = (ConformerSource.ETKDG, ConformerSource.RANDOM_COORDINATES)
LIGAND_CHAIN = (*DICTIONARY_CHAIN, ConformerSource.DISTANCES_ONLY)


def embed(
    mol: Chem.Mol,
    seed: int,
    seconds: float = 20.0,
    chain: tuple[ConformerSource, ...] = DICTIONARY_CHAIN,
) -> tuple[Float[Array, "a 3"], ConformerSource] | None:
    """Embed all atoms of `mol` (hydrogens included), in angstrom; None on failure.

    Tries the methods of `chain` in order, each with its share of the time. The molecule must be
    sanitised; it is not changed.

    Args:
        seed: RDKit's seed, 0 or more; the same seed gives the same coordinates.
        seconds: limit for all attempts together, kept by RDKit itself.
    """
    limit = max(1, int(seconds / len(chain)))
    for source in chain:
        options: Any = rdDistGeom.ETKDGv3()  # RDKit's stubs know no type of its fields
        options.randomSeed = int(seed) % (2**31 - 1)
        options.timeout = limit
        options.useRandomCoords = source is not ConformerSource.ETKDG
        if source is ConformerSource.DISTANCES_ONLY:
            options.useExpTorsionAnglePrefs = options.useBasicKnowledge = False
            options.ignoreSmoothingFailures = True
        work = Chem.Mol(mol)
        with rdBase.BlockLogs():
            try:
                conformer_id = rdDistGeom.EmbedMolecule(work, options)
            except (RuntimeError, ValueError):
                continue
        if conformer_id >= 0:
            position = work.GetConformer(conformer_id).GetPositions()
            if np.isfinite(position).all():
                return position.astype(np.float32), source
    return None


def ligand_conformer(mol: Chem.Mol, seed: int, seconds: float = 35.0) -> Float[Array, "a 3"]:
    """Make a conformer of a user's molecule (with hydrogens), in angstrom.

    Molecules over `LARGE` heavy atoms are embedded in a child process, so that a crash or a hang
    of RDKit is an error of this ligand and not the end of the run.

    Raises:
        ChemistryError: no method found a conformer in time, or the child process died.
    """
    if mol.GetNumHeavyAtoms() > LARGE:
        position = _embed_in_child(mol, seed, seconds)
    else:
        result = embed(mol, seed, seconds, LIGAND_CHAIN)
        position = None if result is None else result[0]
    if position is None and (stereo := _contradiction(mol, seed)):
        raise ChemistryError(stereo, fix="check @ and @@, / and \\ in the SMILES")
    if position is None:
        raise ChemistryError(f"no 3D conformer was found within {seconds:g} s "
                             f"({mol.GetNumHeavyAtoms()} heavy atoms)", fix=_OTHER_FORM)
    return position


def _contradiction(mol: Chem.Mol, seed: int) -> str:
    """Say that stereochemistry keeps a molecule from being embedded; "" if it does not.

    RDKit only says that it failed. An embedding without the tags tells whether they are why.
    """
    centres = [atom.GetIdx() + 1 for atom in mol.GetAtoms()
               if atom.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED]
    bonds = [f"{bond.GetBeginAtomIdx() + 1}={bond.GetEndAtomIdx() + 1}" for bond in mol.GetBonds()
             if bond.GetStereo() > Chem.BondStereo.STEREOANY]
    plain = Chem.Mol(mol)
    Chem.RemoveStereochemistry(plain)
    if not centres and not bonds:
        return ""
    if mol.GetNumHeavyAtoms() > LARGE:
        embedded = _embed_in_child(plain, seed, PLAIN_SECONDS) is not None
    else:
        embedded = embed(plain, seed, PLAIN_SECONDS, LIGAND_CHAIN) is not None
    names = " and ".join(["stereocentres"] * bool(centres) + ["double bonds"] * bool(bonds))
    places = ", ".join([f"atoms {', '.join(map(str, centres))}"] * bool(centres) + bonds)
    return f"its {names} cannot be satisfied together ({places})" if embedded else ""


def _embed_in_child(mol: Chem.Mol, seed: int, seconds: float) -> Float[Array, "a 3"] | None:
    """Run `embed` in a fresh interpreter: RDKit's binary form in, npy out."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "protenix_ms.chem.conformer", str(seed), str(seconds)]
    # threads of OpenBLAS would reserve address space
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    try:
        child = subprocess.run(command, input=mol.ToBinary(), capture_output=True,
                               timeout=seconds + GRACE, env=environment)
    except subprocess.TimeoutExpired:
        return None
    if child.returncode == _NO_MEMORY:
        raise ChemistryError(f"RDKit needs more than {CHILD_MEMORY / 2**30:.3g} GiB of memory for "
                             f"a conformer ({mol.GetNumHeavyAtoms()} heavy atoms)", fix=_OTHER_FORM)
    if child.returncode != 0:
        raise ChemistryError(f"RDKit ended with code {child.returncode} while making a conformer "
                             f"({mol.GetNumHeavyAtoms()} heavy atoms)", fix=_OTHER_FORM)
    return np.load(io.BytesIO(child.stdout), allow_pickle=False) if child.stdout else None


def _child() -> None:
    """Embed as the child process, within `CHILD_MEMORY`; no output means no conformer."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = CHILD_MEMORY if hard == resource.RLIM_INFINITY else min(CHILD_MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    seed, seconds = int(sys.argv[1]), float(sys.argv[2])
    binary: Any = sys.stdin.buffer.read()  # RDKit's stubs take its own bytes for text
    try:
        result = embed(Chem.Mol(binary), seed, seconds, LIGAND_CHAIN)
    except MemoryError:
        sys.exit(_NO_MEMORY)
    if result is not None:
        np.save(sys.stdout.buffer, result[0])


if __name__ == "__main__":
    _child()
