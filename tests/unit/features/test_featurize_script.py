# SPDX-License-Identifier: Apache-2.0
"""scripts/featurize.py: what it writes, and its exit codes 0, 1 and 2."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from protenix_ms.chem.ccd import SHIPPED

ROOT = Path(__file__).resolve().parents[3]


def featurize(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts/featurize.py"), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": str(ROOT)}
    )


@pytest.mark.skipif(not SHIPPED.exists(), reason="the component table is not built yet")
def test_writes_compares_and_refuses(tmp_path):
    job = tmp_path / "job.json"
    chains = [{"proteinChain": {"sequence": "MKT", "count": 2}}, {"ion": {"ion": "MG", "count": 1}}]
    job.write_text(json.dumps([{"name": "x", "sequences": chains}]))
    out = tmp_path / "features.npz"

    assert featurize(job, "--out", out, "--seed", 3).returncode == 0
    features = dict(np.load(out))
    assert features["restype"].shape == (7, 32)
    assert "constraint_feature/pocket" in features

    same = featurize(job, "--compare", tmp_path)  # another seed: another placement only
    assert same.returncode == 0, same.stdout
    np.savez(out, **features | {"token_bonds": features["token_bonds"] + 1})
    other = featurize(job, "--compare", tmp_path)
    assert other.returncode == 1
    assert other.stdout.count("DIFFERENT") == 1

    job.write_text(job.read_text().replace("MKT", "M1T"))
    refused = featurize(job)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
