# SPDX-License-Identifier: Apache-2.0
"""From bare sequences to structures: a FASTA searched locally and by a server, then predicted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fake_msa_server as fakes
import pytest
from own_relatives import PROTEINS, write_databases

from protenix_ms.chem.ccd import SHIPPED
from protenix_ms.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
from protenix_ms.config import get_config as variant

def get_config():
    blocks = {"n_blocks": 1}
    return variant("protenix_tiny_default_v0.5.0", {
        "model": {"N_cycle": 1, "pairformer": blocks, "confidence_head": blocks,
                  "input_embedder": blocks, "diffusion_module": {"transformer": blocks}},
        "sample_diffusion": {"N_step": 2, "N_sample": 1}})
"""
FASTA = f">heavy\n{PROTEINS[0][:40]}\n>light\n{PROTEINS[1][:40]}\n"

pytestmark = pytest.mark.skipif(not SHIPPED.is_file(), reason="no component table yet")


def words_of(folder: Path, *more: str) -> list[str]:
    (folder / "job.fasta").write_text(FASTA)
    (folder / "config.py").write_text(CONFIG)
    return ["predict", "--input", str(folder / "job.fasta"), "--output", str(folder / "out"),
            "--config", str(folder / "config.py"), "--random-weights", "0", "--no-plots", *more]


@pytest.mark.slow
def test_predict_searches_first(tmp_path):
    pytest.importorskip("pyhmmer", reason="this machine has no pyhmmer")
    fake = fakes.FakeServer()
    fake.submits = ["COMPLETE"]  # at once: the pauses between questions are not this test's
    command = [sys.executable, "-m", "protenix_ms.cli.main", *words_of(
        tmp_path, "--databases", str(write_databases(tmp_path / "own")), "--msa-server", fake.url)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300,
                              env=os.environ | {"PROTENIX_MS_HOME": str(tmp_path / "home")})
    finally:
        fake.close()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 jobs written" in done.stdout and "1 of 1 finished" in done.stdout
    record = json.loads((tmp_path / "out" / "job" / "run.json").read_text())
    assert [chain["name"] for chain in record["chains"]] == ["heavy", "light"]
    assert not any("no alignment" in note for note in record["notes"])
    report = json.loads((tmp_path / "out" / "searched" / "job" / "search.json").read_text())
    assert [chain["paired_rows"] for chain in report["chains"]] == [7, 7]  # 3 by row, 4 by species
    assert list((tmp_path / "out" / "job" / "seed_101" / "predictions").glob("*.cif"))


@pytest.mark.parametrize(("words", "sentence"), [
    (["--search"], "there is nothing to search in"),
    (["--database", "uniref=x"], "unknown kind of database 'uniref'"),
    (["--msa-server", "host"], "write it with its scheme"),
    (["--databases", "/nowhere"], "no such folder")])
def test_predict_refuses_bad_places_first(words, sentence, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PROTENIX_MS_HOME", str(tmp_path / "home"))
    assert main(words_of(tmp_path, *words)) == 2
    assert sentence in capsys.readouterr().err
