# SPDX-License-Identifier: Apache-2.0
"""Inputs of training that failed once: each as its `expect.md` says it is right."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from protenix_ms.cli.main import main
from protenix_ms.data import read_entry

ROOT = Path(__file__).resolve().parents[2]


def test_atoms_without_coordinates_are_not_resolved(cases, ccd):
    atoms = read_entry(cases / "prepare-nan-coordinates" / "nancoord.cif", ccd).atoms
    assert np.isfinite(atoms.coord).all()
    assert not atoms.is_resolved[atoms.res_id == 15].any()


def test_alternatives_are_chosen_by_residue(cases, ccd):
    atoms = read_entry(cases / "prepare-altloc-without-a" / "alt_bc.cif", ccd).atoms
    for number in (10, 20):
        rows = (atoms.res_id == number) & (atoms.chain_id == atoms.chain_id[0])
        assert rows.any() and atoms.is_resolved[rows].all()


def test_a_file_without_entities_is_a_protein(cases, tmp_path):
    words = ["prepare-data", str(cases / "prepare-no-entities"), "--output", str(tmp_path)]
    assert main([*words, "--no-mmseqs", "--processes", "1"]) == 0
    index = (tmp_path / "index.csv").read_text()
    assert ",prot," in index and "ligand" not in index


def test_hostile_files_are_dropped(cases):
    done = subprocess.run([sys.executable, str(cases / "attack-cif" / "run.py")], cwd=ROOT,
                          capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout


def test_data_without_protein_need_no_mmseqs(cases, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "mmseqs"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    (tmp_path / "cif").mkdir()
    shutil.copy(ROOT / "tests" / "golden" / "cif" / "4gxy.cif.gz", tmp_path / "cif")
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    words = ["prepare-data", str(tmp_path / "cif"), "--output", str(tmp_path / "data")]
    assert main([*words, "--processes", "1"]) == 0 and (tmp_path / "data" / "index.csv").exists()


@pytest.mark.parametrize("rate", ["nan", "inf", "-1"])
def test_a_rate_that_is_no_rate_is_refused(rate, cases, tmp_path, capsys):
    assert (cases / "attack-train-rate").is_dir()
    words = ["train", "--data", str(tmp_path), "--output", str(tmp_path / "run")]
    assert main([*words, "--set", f"training.lr={rate}"]) == 2
    assert "lr is" in capsys.readouterr().err and not (tmp_path / "run").exists()
