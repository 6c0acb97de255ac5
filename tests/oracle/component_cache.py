# SPDX-License-Identifier: Apache-2.0
"""Builds the component cache that upstream reads at import, from what the clone carries.

Upstream keeps `common/components.cif` and pickled RDKit molecules beside it. The clone carries the
components of its tests (`golden/components.cif.gz`, wwPDB) and upstream's reference conformers
(`golden/conformers.npz`); the molecules are built anew from both, so no pickle is in the
repository.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import tempfile
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SOURCES = GOLDEN / "components.cif.gz", GOLDEN / "conformers.npz"
EMPTY = {"clusters-by-entity-40.txt": "", "obsolete_to_successor.json": "{}",
         "release_date_cache.json": "{}",
         "obsolete_release_date.csv": "obsolete_id,successor_id,release_date\n"}


def upstream_root() -> Path:
    """Return the folder for PROTENIX_ROOT_DIR: the one it names, else one built once per clone."""
    if "PROTENIX_ROOT_DIR" in os.environ:
        return Path(os.environ["PROTENIX_ROOT_DIR"])
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:12]
    root = Path(tempfile.gettempdir()) / f"protenix_ms_components_{os.getuid()}_{digest}"
    if not root.is_dir():
        with tempfile.TemporaryDirectory(dir=root.parent) as folder:
            build(Path(folder) / "common")
            try:
                os.rename(folder, root)
            except OSError:
                if not root.is_dir():  # another process was first
                    raise
            else:
                os.mkdir(folder)  # for the context manager to remove
    return root


def build(common: Path) -> None:
    """Write upstream's cache into `common`."""
    common.mkdir()
    for name, text in EMPTY.items():
        (common / name).write_text(text)
    (common / "components.cif").write_bytes(gzip.decompress(SOURCES[0].read_bytes()))
    molecules = _molecules(common / "components.cif")
    (common / "components.txt").write_text("\n".join(molecules))
    with open(common / "components.cif.rdkit_mol.pkl", "wb") as file:
        pickle.dump(molecules, file)


def _molecules(path: Path) -> dict:
    """Make RDKit molecules as upstream keeps them: atom map, conformer, which atoms have a
    place."""
    import gemmi
    from pdbeccdutils.core import ccd_reader
    from rdkit import Chem

    conformers, molecules = np.load(SOURCES[1]), {}
    for block in gemmi.cif.read(str(path)):
        parsed = ccd_reader._parse_pdb_mmcif(block, sanitize=True)
        mol = parsed.component.mol
        mol.name, mol.sanitized = block.name, parsed.sanitized
        mol.atom_map = {atom.GetProp("name"): atom.GetIdx() for atom in mol.GetAtoms()}
        mol.ref_conf_id, mol.ref_conf_type = 0, "rdkit"
        if mol.GetNumAtoms():
            names = conformers[f"{block.name}/name"].tolist()
            order = [names.index(name) for name in mol.atom_map]
            conformer = Chem.Conformer(mol.GetNumAtoms())
            positions = conformers[f"{block.name}/position"][order].astype(float)
            for atom, position in enumerate(positions):
                conformer.SetAtomPosition(atom, position.tolist())
            mol.RemoveAllConformers()
            mol.ref_conf_id = mol.AddConformer(conformer, assignId=True)
            mol.ref_mask = conformers[f"{block.name}/mask"][order].astype(bool)
        molecules[block.name] = mol
    return molecules
