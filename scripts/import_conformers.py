# SPDX-License-Identifier: Apache-2.0
"""Turn Protenix's `components.cif.rdkit_mol.pkl` into a plain npz for `--conformers`.

    python scripts/import_conformers.py components.cif.rdkit_mol.pkl conformers.npz

Upstream's file is a Python pickle of RDKit molecules: loading it runs code from the file and needs
an RDKit that can read it. So this is done once, here, on a file you trust, and nothing else in the
project opens pickles. The result holds ``{CODE}/{name,position,mask,charge}``, all atoms.
"""

from __future__ import annotations

import argparse
import os
import pickle
from pathlib import Path

import numpy as np


def component_arrays(mol) -> dict[str, np.ndarray]:
    """Return names, reference conformer, mask and charges of one of upstream's molecules."""
    by_index = sorted(mol.atom_map, key=mol.atom_map.get)
    conformer = mol.GetConformer(mol.ref_conf_id)
    return {
        "name": np.array(by_index, dtype=np.str_),
        "position": conformer.GetPositions().astype(np.float32),
        "mask": np.asarray(mol.ref_mask, bool),
        "charge": np.array([atom.GetFormalCharge() for atom in mol.GetAtoms()], np.int8),
    }


def main() -> None:
    """Read the pickle, write the npz."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--codes", nargs="*", help="only these components")
    arguments = parser.parse_args()
    with arguments.source.open("rb") as file:
        mols = pickle.load(file)
    chosen = arguments.codes or sorted(mols)
    if missing := [code for code in chosen if code not in mols]:
        raise SystemExit(f"{arguments.source}: no components {' '.join(missing)}")
    columns, empty = {}, []
    for code in chosen:
        if mols[code].GetNumAtoms() == 0:
            empty.append(code)
            continue
        for key, column in component_arrays(mols[code]).items():
            columns[f"{code}/{key}"] = column
    temporary = arguments.target.with_name(arguments.target.name + ".tmp.npz")
    np.savez_compressed(temporary, **columns)
    os.replace(temporary, arguments.target)
    print(f"{arguments.target}: {len(columns) // 4} components, "
          f"{arguments.target.stat().st_size / 1e6:.1f} MB; without atoms: {empty}")


if __name__ == "__main__":
    main()
