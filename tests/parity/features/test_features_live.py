# SPDX-License-Identifier: Apache-2.0
"""Features of jobs that nobody recorded, against upstream's featuriser run here and now."""

import json
from pathlib import Path

import numpy as np
import pytest
from comparison import compare

from protenix_ms.features import FeatureOptions, build
from protenix_ms.io import read_jobs


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


def near(end1: tuple, end2: tuple, largest: float, least: float = 0.0) -> dict:
    """A contact between (entity, copy, position[, atom]) and another such end."""
    keys = ("entity", "copy", "position", "atom")
    ends = {f"{key}{n}": value
            for n, end in ((1, end1), (2, end2)) for key, value in zip(keys, end)}
    return ends | {"max_distance": largest, "min_distance": least}


JOBS = {
    "contacts_of_atoms": {
        "sequences": [
            protein("GMKSAYWGHP", 2, modifications=[ptm("SEP", 4)]), dna("GATC"), rna("ACGU"),
            ligand("CCD_GOL"), ion("ZN"),
        ],
        "constraint": {"contact": [
            near((1, 1, 7, "CZ2"), (2, 1, 2, "N6"), 6, 2.5),
            near((1, 2, 7, "NE1"), (3, 1, 4, "C1'"), 7),
            near((1, 1, 4, "P"), (4, 1, 1, "O2"), 5, 1),
            near((1, 1, 7, "O"), (5, 1, 1, "ZN"), 3, 1),
        ]},
    },
    "contacts_and_pocket": {
        "sequences": [protein("GMKSAYWGHP", 2), protein("EVKLVES"), ligand("CCD_GOL"), rna("GGC")],
        "constraint": {
            "contact": [near((1, 1, 2), (2, 1, 3), 12, 4), near((1, 2, 5, "CB"), (4, 1, 1), 9),
                        near((1, 1, 3, "NZ"), (1, 2, 9, "ND1"), 8)],
            "pocket": {"binder_chain": {"entity": 3, "copy": 1}, "max_distance": 6,
                       "contact_residues": [
                {"entity": 1, "copy": 2, "position": 4}, {"entity": 4, "copy": 1, "position": 2}]},
        },
    },
    "pocket_of_a_chain": {
        "sequences": [protein("GMKSAYWGHP"), protein("EVKLVES", 2)],
        "constraint": {"pocket": {
            "binder_chain": {"entity": 2, "copy": 2}, "max_distance": 10.5, "contact_residues": [
                {"entity": 1, "copy": 1, "position": 1}, {"entity": 2, "copy": 1, "position": 7}]}},
    },
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
            protein("MMSTYW", modifications=[ptm("MSE", 1), ptm("SEP", 3), ptm("TYS", 5)]),
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


@pytest.fixture(params=JOBS)
def job_file(request, tmp_path) -> Path:
    path = tmp_path / "job.json"
    path.write_text(json.dumps([{"name": request.param, **JOBS[request.param]}]))
    return path


def test_equal_to_upstream(job_file, upstream_features, ccd):
    theirs = upstream_features(json.loads(job_file.read_text())[0])
    options = FeatureOptions(upstream_quirks=True)
    ours = build(read_jobs(job_file)[0], ccd, np.random.default_rng(0), options).features
    wrong = [row for row in compare(ours, theirs) if not row.equal]
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("quirks", [True, False])
def test_ions_shift_the_alignment_only_as_a_quirk(quirks, ccd, tmp_path):
    """Without the quirk every residue reads its own column, whatever stands before it (H17)."""
    path = tmp_path / "job.json"
    path.write_text(json.dumps([{"name": "ions", **JOBS["ions_first_and_last"]}]))
    options = FeatureOptions(upstream_quirks=quirks)
    example = build(read_jobs(path)[0], ccd, np.random.default_rng(0), options)
    polymer = ~example.tokens.atomwise
    own = example.features["msa"][0, polymer] == example.tokens.restype[polymer]
    assert own.all() != quirks
