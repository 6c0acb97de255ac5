# SPDX-License-Identifier: Apache-2.0
"""Ligands, caps and wrong words that failed once: each case as its `expect.md` calls right."""

import json

import numpy as np
import pytest

from protenix_ms.chem.polymer import unbonded_neighbours
from protenix_ms.cli.main import main
from protenix_ms.config import get_config
from protenix_ms.errors import ChemistryError, InputError
from protenix_ms.features import FeatureOptions
from protenix_ms.features.assembly import assemble
from protenix_ms.io import read_jobs, validate
from protenix_ms.predict.notes import collect_notes
from protenix_ms.predict.settings import Settings
from protenix_ms.predict.weights import Weights

DEFAULT, TINY = "protenix_base_default_v1.0.0", "protenix_tiny_default_v0.5.0"


def refusal(path, ccd) -> str:
    with pytest.raises(InputError) as caught:
        for job in read_jobs(path):
            validate(job, ccd)
    return str(caught.value)


def test_pdb_without_bond_orders(cases, ccd):
    text = refusal(cases / "ligand-pdb-bond-orders" / "job.json", ccd)
    assert "lig.pdb: a PDB file does not tell bond orders; give" in text


def test_sdf_of_several_molecules(cases, ccd):
    text = refusal(cases / "ligand-sdf-several-molecules" / "job.json", ccd)
    assert "three.sdf: it holds 3 molecules; give one molecule per file" in text


def test_suffix_in_upper_case(cases, ccd):
    (job,) = read_jobs(cases / "messages-of-refusals" / "upper_suffix.json")
    validate(job, ccd)
    assert len(assemble(job, ccd, np.random.default_rng(0)))


def test_contradictory_stereocentres(cases, ccd):
    (job,) = read_jobs(cases / "messages-of-refusals" / "impossible_stereo.json")
    with pytest.raises(ChemistryError, match="stereocentres cannot be satisfied together .*@@"):
        assemble(job, ccd, np.random.default_rng(0))


def test_amide_at_the_end(cases, ccd):
    (job,) = read_jobs(cases / "cap-nh2" / "job.json")
    validate(job, ccd)
    atoms = assemble(job, ccd, np.random.default_rng(0))
    assert unbonded_neighbours(atoms) == [] and "OXT" not in atoms.atom_name


def test_amide_under_upstream_quirks_is_said(cases, ccd, tmp_path):
    (job,) = read_jobs(cases / "cap-nh2" / "job.json")
    settings = Settings(tmp_path, get_config(TINY), Weights(random_seed=0), ccd,
                        FeatureOptions(upstream_quirks=True))
    assert any("no bond between LEU 8 and NH2 9" in note for note in collect_notes(job, settings))


def words(capsys, *arguments) -> list[str]:
    try:
        assert main(list(map(str, arguments))) == 2
    except SystemExit as stop:
        assert stop.code == 2
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("model, meant", [
    ("protenix_tiny", TINY), ("tiny", TINY), ("mini", "protenix_mini_default_v0.5.0"),
    ("protenix_base", DEFAULT),
])
def test_model_suggestion(cases, tmp_path, capsys, model, meant):
    (tmp_path / "j.json").write_text(json.dumps(
        [{"name": "j", "sequences": [{"proteinChain": {"sequence": "MKV", "count": 1}}]}]))
    (line,) = words(capsys, "predict", "--input", tmp_path / "j.json", "--output", tmp_path / "o",
                    "--model", model)
    assert f"unknown model '{model}'; did you mean '{meant}'" in line


def test_option_and_command_suggestion(cases, capsys):
    usage, line = words(capsys, "predict", "--inputs", "x.json", "--output", "o")
    assert usage.startswith("usage:") and "unknown option --inputs; did you mean --input" in line
    assert "did you mean predict" in words(capsys, "predcit")[-1]


@pytest.mark.parametrize("seeds", ["1-9999999999", "99999999999999999999", "5-1,3"])
def test_seeds(cases, capsys, seeds):
    (line,) = words(capsys, "predict", "--input", "one.fasta", "--output", "o", "--random-weights",
                    0, "--seeds", seeds)
    assert "--seeds" in line
