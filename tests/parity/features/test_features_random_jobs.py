# SPDX-License-Identifier: Apache-2.0
"""Random jobs, modified and bonded at random, against upstream's featuriser run here and now."""

import json
import random

import numpy as np
import pytest
from comparison import compare

from protenix_ms.chem.residue import leaving_groups
from protenix_ms.features import FeatureOptions, assemble, build
from protenix_ms.io import read_jobs

ALPHABETS = {
    "proteinChain": "ARNDCQEGHILKMFPSTWYVX",
    "rnaSequence": "ACGUNXI",
    "dnaSequence": "ACGTNXIU",
}
MODIFICATIONS = {
    "proteinChain": ["SEP", "TPO", "MSE", "HYP", "MLY", "PCA", "TYS", "DAL", "ORN", "KCX"],
    "rnaSequence": ["PSU", "5MC", "H2U", "7MG", "OMG", "2MG"],
    "dnaSequence": ["6OG", "5CM", "BRU", "DI"],
}
WORDS = {"proteinChain": ("ptmType", "ptmPosition")}
LIGANDS = ["ATP", "GOL", "HEM", "NAG", "BMA", "SF4", "PLP", "4HT", "ALA", "DA", "EDO", "SO4"]
IONS = ["MG", "ZN", "NA", "CL"]


def random_entity(rng: random.Random) -> dict:
    kind = rng.choices([*ALPHABETS, "ligand", "ion"], weights=[3, 1, 1, 3, 1])[0]
    count = rng.randint(1, 3)
    if kind == "ligand":
        codes = rng.sample(LIGANDS, rng.choice([1, 1, 2, 3]))
        return {"ligand": {"ligand": "_".join(["CCD", *codes]), "count": count}}
    if kind == "ion":
        return {"ion": {"ion": rng.choice(IONS), "count": count}}
    sequence = "".join(rng.choices(ALPHABETS[kind], k=rng.randint(1, 12)))
    words = WORDS.get(kind, ("modificationType", "basePosition"))
    positions = rng.sample(range(1, len(sequence) + 1), rng.randint(0, min(3, len(sequence))))
    codes = [f"CCD_{rng.choice(MODIFICATIONS[kind])}" for _ in positions]
    modifications = [dict(zip(words, pair)) for pair in zip(codes, positions)]
    return {kind: {"sequence": sequence, "count": count, "modifications": modifications}}


def random_bonds(rng: random.Random, atoms, ccd) -> list[dict]:
    """Draw bonds between any atoms, but not where upstream draws lots among leaving groups."""
    bonds = []
    for _ in range(rng.randint(0, 4)):
        bond = {}
        for side, row in enumerate(rng.sample(range(len(atoms)), 2), 1):
            groups = leaving_groups(ccd[str(atoms.res_name[row])])
            if len(groups.get(str(atoms.atom_name[row]), [])) > 1:
                break
            bond |= {
                f"entity{side}": int(atoms.entity_id[row]),
                f"copy{side}": int(atoms.copy_id[row]),
                f"position{side}": int(atoms.res_id[row]),
                f"atom{side}": str(atoms.atom_name[row]),
            }
        else:
            bonds.append(bond)
    return bonds


@pytest.mark.parametrize("seed", range(10))
def test_random_job(seed, upstream_features, ccd, tmp_path):
    rng = random.Random(seed)
    protein = {"proteinChain": {"sequence": "GHCA", "count": 1}}
    job = {"name": "x", "sequences": [protein, *[random_entity(rng) for _ in range(4)]]}
    path = tmp_path / "job.json"
    path.write_text(json.dumps([job]))
    atoms = assemble(read_jobs(path)[0], ccd, np.random.default_rng(0), True)
    job["covalent_bonds"] = random_bonds(rng, atoms, ccd)
    path.write_text(json.dumps([job]))

    theirs = upstream_features(json.loads(path.read_text())[0])
    options = FeatureOptions(upstream_quirks=True)
    ours = build(read_jobs(path)[0], ccd, np.random.default_rng(0), options).features
    wrong = [row for row in compare(ours, theirs) if not row.equal]
    assert not wrong, "\n".join([json.dumps(job), *map(str, wrong)])
