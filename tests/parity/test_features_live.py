# SPDX-License-Identifier: Apache-2.0
"""Features of jobs that nobody recorded, against upstream's featuriser run here and now."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.features import FeatureOptions, build
from protenix_ms.features.comparison import compare
from protenix_ms.io import read_jobs

ROOT = Path(__file__).resolve().parents[2]
ORACLE = Path(os.environ.get("PROTENIX_ROOT_DIR", ROOT.parent / "shared/tools/oracle/protenix_root"))


def protein(sequence: str, count: int = 1, **fields) -> dict:
    return {"proteinChain": {"sequence": sequence, "count": count, **fields}}


def dna(sequence: str, count: int = 1, **fields) -> dict:
    return {"dnaSequence": {"sequence": sequence, "count": count, **fields}}


def rna(sequence: str, count: int = 1, **fields) -> dict:
    return {"rnaSequence": {"sequence": sequence, "count": count, **fields}}


def ligand(text: str, count: int = 1, **fields) -> dict:
    return {"ligand": {"ligand": text, "count": count, **fields}}


def ion(code: str, count: int = 1) -> dict:
    return {"ion": {"ion": code, "count": count}}


def ptm(code: str, position: int) -> dict:
    return {"ptmType": f"CCD_{code}", "ptmPosition": position}


def base(code: str, position: int) -> dict:
    return {"modificationType": f"CCD_{code}", "basePosition": position}


def bond(entity1, position1, atom1, entity2, position2, atom2, **copies) -> dict:
    sides = (entity1, position1, atom1), (entity2, position2, atom2)
    fields = {}
    for side, (entity, position, atom) in enumerate(sides, 1):
        fields |= {f"entity{side}": entity, f"position{side}": position, f"atom{side}": atom}
    return fields | copies


JOBS = {
    "dna_modified": {
        "sequences": [
            dna("GATTCNXUI", 2, modifications=[base("6OG", 1), base("5CM", 5)]),
            dna("GAATC"),
        ]
    },
    "rna_modified": {
        "sequences": [rna("GGCUINXA", modifications=[base("PSU", 4), base("5MC", 8)])]
    },
    "ions_first_and_last": {
        "sequences": [ion("MG", 2), protein("MKTAYIAK"), ion("ZN"), rna("ACGU"), ion("CL", 3)]
    },
    "homomers_with_ids": {
        "sequences": [
            protein("MKTAYIAK", 3, id=["Z", "B", "AA"]),
            protein("GSHMEVKL", 2),
            ligand("CCD_GOL", 2, id=["A", "L2"]),
        ]
    },
    "many_chains": {"sequences": [protein("GASG", 14), ion("NA", 14), ligand("CCD_EDO", 3)]},
    "ten_entities": {"sequences": [protein("GAS" + "G" * i) for i in range(11)]},
    "glycan": {
        "sequences": [protein("GANASG", 2), ligand("CCD_NAG_NAG_BMA", 2)],
        "covalent_bonds": [
            bond("1", "3", "ND2", "2", "1", "C1"),
            bond("2", "1", "O4", "2", "2", "C1"),
            bond("2", "2", "O4", "2", "3", "C1"),
        ],
    },
    "cyclic_and_disulfide": {
        "sequences": [protein("GCAKTCAG"), protein("CGASC")],
        "covalent_bonds": [
            bond(1, 1, "N", 1, 8, "C", copy1=1, copy2=1),
            bond(1, 2, "SG", 1, 6, "SG", copy1=1, copy2=1),
            bond(2, 1, "SG", 2, 5, "SG", copy1=1, copy2=1),
        ],
    },
    "near_disulfides": {
        "sequences": [protein("GCGCAG"), protein("GCCAG")],
        "covalent_bonds": [
            bond(1, 2, "SG", 1, 4, "SG", copy1=1, copy2=1),
            bond(2, 2, "SG", 2, 3, "SG", copy1=1, copy2=1),
        ],
    },
    "one_copy_bonded": {
        "sequences": [protein("GANASG", 2), ligand("CCD_NAG", 3), protein("GHAG"), ion("ZN")],
        "covalent_bonds": [
            bond(1, 3, "ND2", 2, 1, "C1", copy1=1, copy2=2),
            bond(3, 2, "NE2", 4, 1, "ZN", copy1=1, copy2=1),
        ],
    },
    "bond_between_chains": {
        "sequences": [protein("GCASG", 2)],
        "covalent_bonds": [bond(1, 2, "SG", 1, 2, "SG", copy1=1, copy2=2)],
    },
    "caps_and_modified_residues": {
        "sequences": [
            protein(
                "GMATKX",
                modifications=[ptm("ACE", 1), ptm("MSE", 2), ptm("TPO", 4), ptm("NME", 6)],
            ),
            protein("KMSTYW", modifications=[ptm("MSE", 1), ptm("SEP", 3), ptm("TYS", 5)]),
        ]
    },
    "ligands_that_count_as_polymers": {
        "sequences": [
            ligand("CCD_4HT"), ligand("CCD_ALA"), ligand("CCD_DA"), ligand("CCD_A"),
            ligand("CCD_GTP"), ligand("CCD_HEM"), ligand("CCD_SF4"), ion("MG"),
        ]
    },
    "every_residue": {
        "sequences": [protein("ARNDCQEGHILKMFPSTWYVX"), rna("AGCUN"), dna("AGCTN")],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def upstream():
    if not (ORACLE / "common/components.cif").exists():
        pytest.skip(f"no component cache of upstream at {ORACLE}: set PROTENIX_ROOT_DIR")
    os.environ["PROTENIX_ROOT_DIR"] = str(ORACLE)
    return pytest.importorskip("protenix.data.inference.json_to_feature").SampleDictToFeatures


@pytest.fixture(scope="module")
def ccd(golden):
    return ComponentDictionary.load().with_conformers(golden / "conformers.npz")


def upstream_features(upstream, job: dict) -> dict[str, np.ndarray]:
    features, _, _ = upstream(job).get_feature_dict()
    constraint = features.pop("constraint_feature")
    features |= {f"constraint_feature/{name}": value for name, value in constraint.items()}
    return {name: value.numpy() for name, value in features.items()}


@pytest.mark.parametrize("name", JOBS)
def test_job(name, upstream, ccd, tmp_path):
    path = tmp_path / "job.json"
    path.write_text(json.dumps([{"name": name, **JOBS[name]}]))
    theirs = upstream_features(upstream, json.loads(path.read_text())[0])
    options = FeatureOptions(use_msa=False, upstream_quirks=True)
    ours = build(read_jobs(path)[0], ccd, np.random.default_rng(0), options).features
    wrong = [row for row in compare(ours, theirs) if not row.equal]
    assert not wrong, "\n".join(map(str, wrong))
