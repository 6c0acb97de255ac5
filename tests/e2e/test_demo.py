# SPDX-License-Identifier: Apache-2.0
"""The demonstration model: structures recovered from noise, and what it says of itself."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from protenix_ms.chem.ccd import SHIPPED, ComponentDictionary
from protenix_ms.config.home import kernels_dir
from protenix_ms.io import read_jobs
from protenix_ms.metrics.structure import rmsd
from protenix_ms.predict.demonstration import JOBS, known_structure
from protenix_ms.predict.reference import Comparison
from protenix_ms.predict.weights import DEMO_WEIGHTS

ROOT = Path(__file__).resolve().parents[2]
MIRROR = np.float32([1, 1, -1])

pytestmark = pytest.mark.skipif(not SHIPPED.is_file(), reason="no component table yet")


@pytest.fixture(scope="module", name="model")
def fixture_model():
    import protenix_ms

    return protenix_ms.load("demo")


def recovered(model, name: str, seed: int = 7):
    """Samples of a known job: RMSD of centre atoms, that of their mirror images, lDDT."""
    (job,) = (job for job in read_jobs(JOBS) if job.name == name)
    comparison = Comparison(job, known_structure(job), ComponentDictionary.load())
    rows = []
    for sample in model.predict(job, seed).samples:
        values = []
        for x in (sample.coordinates, sample.coordinates * MIRROR):
            known = comparison.known(seed, x)
            centre = known.centre & known.resolved
            values.append(rmsd(x[centre], known.x[centre]))
        lddt = comparison.judge(seed, sample.coordinates)["lddt"]
        rows.append((*values, lddt))
    return np.array(rows)


@pytest.mark.parametrize("name", ["trp_cage", "protein_ligand"])
def test_structures_come_out_of_noise(model, name):
    apart, mirrored, lddt = recovered(model, name).T
    best = np.minimum(apart, mirrored)  # it does not know hands yet: docs/demo.md
    assert np.median(best) < 1.5 and np.median(lddt) > 0.85


def test_the_readmes_first_command(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "kernels").symlink_to(kernels_dir())  # not compiled anew
    environment = {**os.environ, "PROTENIX_MS_HOME": str(home)}
    words = [sys.executable, "scripts/predict.py", "--input", "configs/examples/trp_cage.json",
             "--output", tmp_path / "output", "--no-plots"]
    done = subprocess.run([str(w) for w in words], cwd=ROOT, env=environment, text=True,
                          timeout=300, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "TM-score" in done.stdout and "by heart, not a prediction" in done.stdout
    folder = tmp_path / "output" / "trp_cage"
    rows = list(csv.DictReader((folder / "ranking.csv").open()))
    assert len(rows) == 5 and float(rows[0]["lddt"]) > 0.8
    record = json.loads((folder / "run.json").read_text())
    assert record["model"] == "demo" and any("memorised" in note for note in record["notes"])
    assert "by heart, not a prediction" in (folder / "trp_cage_model.cif").read_text()
    assert "demonstration model" in (folder / "report.html").read_text()

    strange = tmp_path / "strange.fasta"
    strange.write_text(">strange|protein\nMKTAYIAKQRQISFVKSHFSRQ\n")
    words[words.index("configs/examples/trp_cage.json")] = strange
    refused = subprocess.run([str(w) for w in words], cwd=ROOT, env=environment, text=True,
                             timeout=300, capture_output=True)
    assert refused.returncode == 2 and "protenix-ms fetch" in refused.stderr
    assert "not this job" in refused.stderr and "--model demo" in refused.stderr
    assert not (tmp_path / "output" / "strange").exists()


def test_the_weights_are_small():
    assert DEMO_WEIGHTS.stat().st_size < 12e6
