# SPDX-License-Identifier: Apache-2.0
"""Cases of processes: two writers, killed ones, lost files, streams that close."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name, words, right", [
    ("attack-two-writers", (), ["RIGHT"]),
    ("attack-missing-files", (), ["RIGHT"]),
    ("attack-streams", (), ["right pipe", "right stderr", "right ascii"]),
    # every write is a point of tests/unit/predict/test_nothing_lost.py; here three as processes
    ("attack-killed", ("afterreplace", "17"), ["SAME"]),
    ("attack-killed", ("halfwrite", "3"), ["SAME"]),
    ("attack-killed", ("step", "2"), ["SAME"]),
])
def test_case(cases, name, words, right):
    done = subprocess.run(["bash", cases / name / "run.sh", *words], cwd=ROOT, text=True,
                          capture_output=True, timeout=900,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    lines = done.stdout.splitlines()
    assert [line for line in lines if line in right] == right, done.stdout + done.stderr
    assert "WRONG" not in done.stdout
