# SPDX-License-Identifier: Apache-2.0
"""Compare our counts of wrong chemistry with PoseBusters, on ligands bent at random.

PoseBusters lives in an environment of its own, made in FOLDER, which sees this one's packages.
Bonds and stereochemistry must agree in 19 of 20 structures. Flatness is only stated: PoseBusters
asks for whole rings and double bonds, we for centres with three neighbours, with the same limit.
    python tests/clients/compare_poses.py FOLDER
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "posebusters==0.6.5"
SMILES = (
    "C[C@H](N)C(=O)O[C@@H](C)/C=C/c1ccccc1", "OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O",
    "C[C@@H](O)/C=C/C(=O)N[C@@H](C)C(=O)O", "CC(=O)Oc1ccccc1C(=O)O", "N[C@@H](CO)C(=O)Nc1ccncc1",
    "C/C(=C/CO)CC[C@H](C)O")
NOISE = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)  # angstrom


def prepare(folder: Path) -> Path:
    """Make the environment and name its Python."""
    python = folder / "environment" / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", folder / "environment"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", PROGRAM],
                       check=True)
    return python


def structures(smiles: str) -> tuple:
    """Make the ligand's molecule, its geometry lists and structures: bent, and mirrored."""
    from protenix_ms.chem.ccd import ComponentDictionary
    from protenix_ms.features.build import FeatureOptions, build
    from protenix_ms.guidance.lists import GeometryLists
    from protenix_ms.job import Job, Ligand

    rng = np.random.default_rng(0)
    example = build(Job("ligand", (Ligand(smiles=smiles),)), ComponentDictionary.load(), rng,
                    FeatureOptions(use_msa=False, guidance=True))
    x = example.features["ref_pos"].astype(np.float64)
    bent = [x + rng.normal(0, noise, x.shape) for noise in NOISE for _ in range(4)]
    return GeometryLists.from_features(example.features), [*bent, x * [1, 1, -1]]


def compare() -> bool:
    """Print how often both agree; tell whether bonds and stereochemistry do."""
    from posebusters.modules.distance_geometry import check_geometry
    from posebusters.modules.flatness import check_flatness
    from posebusters.modules.identity import check_identity
    from rdkit import Chem, RDLogger

    from protenix_ms.chem.molecule import add_conformer
    from protenix_ms.guidance.validity import count_faults

    RDLogger.DisableLog("rdApp.*")
    agreed = dict.fromkeys(("bonds", "handedness", "double bonds", "flatness"), 0)
    total = 0
    for smiles in SMILES:
        lists, all_x = structures(smiles)
        truth = Chem.MolFromSmiles(smiles)
        for x in all_x:
            mol = Chem.Mol(truth)
            add_conformer(mol, x)
            Chem.AssignStereochemistryFrom3D(mol)
            ours = count_faults(x, lists)
            shape = check_geometry(mol, threshold_bad_bond_length=0.25)["results"]
            same = check_identity(mol, truth)["results"]
            flat = check_flatness(mol, threshold_flatness=0.25)["results"]["flatness_passes"]
            outliers = shape["number_short_outlier_bonds"] + shape["number_long_outlier_bonds"]
            verdicts = {
                "bonds": outliers == ours["wrong_bond_lengths"],
                "handedness": same["stereo_tetrahedral"] == (not ours["wrong_chirality"]),
                "double bonds": same["stereo_dbond"] == (not ours["wrong_double_bonds"]),
                "flatness": flat == (not ours["non_planar_groups"])}
            total += 1
            for key, verdict in verdicts.items():
                agreed[key] += bool(verdict)
    for key, count in agreed.items():
        print(f"{key:<14} {count} of {total} structures agree")
    return min(count for key, count in agreed.items() if key != "flatness") >= 0.95 * total


def main() -> None:
    """Run the comparison in its environment."""
    if len(sys.argv) < 2:
        sys.exit(0 if compare() else 1)
    python = prepare(Path(sys.argv[1]))
    paths = os.pathsep.join([str(ROOT), sysconfig.get_paths()["purelib"]])
    done = subprocess.run([python, __file__], env=os.environ | {"PYTHONPATH": paths}, check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
