# SPDX-License-Identifier: Apache-2.0
"""From a sequence to coordinates without an alignment: encoder, cache, predictor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from protenix_ms.chem.ccd import SHIPPED
from protenix_ms.config.home import kernels_dir
from protenix_ms.predict.embedding_files import embedding_path

ROOT = Path(__file__).resolve().parents[2]
ENCODER = ROOT / "tests" / "golden" / "esm" / "esm2_tiny_rule_half.pt"
JOB = [{"name": name, "sequences": [{"proteinChain": {"sequence": sequence, "count": 1}},
                                    {"ion": {"ion": "MG", "count": 1}}]}
       for name, sequence in (("first", "GSKCAV"), ("second", "MKTLL"))]
SMALL = [f"model.{part}.n_blocks=1" for part in (
    "pairformer", "confidence_head", "input_embedder", "diffusion_module.transformer")]

pytestmark = pytest.mark.skipif(not SHIPPED.is_file(), reason="no component table yet")


def predict(folder: Path, output: str, *words: object) -> subprocess.CompletedProcess:
    settings = [word for key in (*SMALL, "esm.embedding_dim=72") for word in ("--set", key)]
    command = [sys.executable, "scripts/predict.py", "--input", folder / "jobs.json", "--output",
               folder / output, "--model", "protenix_mini_esm_v0.5.0", "--random-weights", 0,
               "--steps", 2, "--samples", 1, "--cycles", 1, "--no-plots", *settings, *words]
    return subprocess.run([str(word) for word in command], cwd=ROOT, text=True, timeout=300,
                          capture_output=True,
                          env={**os.environ, "PROTENIX_MS_HOME": str(folder / "home")})


def coordinates(folder: Path, output: str, job: str) -> bytes:
    return (folder / output / job / "seed_101" / "predictions" / f"{job}_sample_0.cif").read_bytes()


def test_encoder_then_cache_then_files(tmp_path):
    (tmp_path / "jobs.json").write_text(json.dumps(JOB))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "kernels").symlink_to(kernels_dir())  # not compiled anew
    done = predict(tmp_path, "one", "--esm", ENCODER)
    assert done.returncode == 0, done.stderr
    made = list((tmp_path / "home" / "embeddings").rglob("*.safetensors"))
    assert len(made) == 2
    record = json.loads((tmp_path / "one" / "first" / "run.json").read_text())
    assert ENCODER.name in record["language_model"]
    assert "no alignment" not in done.stdout
    # the files of the cache, one taken away: its job is refused, the other is the same
    files = made[0].parent
    embedding_path(files, "MKTLL").unlink()
    again = predict(tmp_path, "two", "--embeddings", files)
    assert again.returncode == 1 and "no vectors of MKTLL" in again.stderr
    first = [coordinates(tmp_path, output, "first") for output in ("one", "two")]
    assert first[0] == first[1]
    assert not (tmp_path / "two" / "second").exists()
