# SPDX-License-Identifier: Apache-2.0
"""Inputs that failed once because of the CPU kernels, by the scripts that showed it."""

import os
import subprocess
from pathlib import Path

import pytest

from protenix_ms.ops import native

ROOT = Path(__file__).resolve().parents[2]


def run(script: Path, **environment: str) -> str:
    """Return what the script of a case prints; it runs from the root of the repository."""
    finished = subprocess.run(["bash", script], cwd=ROOT, text=True, capture_output=True,
                              timeout=600, env={**os.environ, **environment})
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_one_core_and_two_give_the_same_bytes(cases):
    """On AVX2, where they once did not: more is forced down to it."""
    library = native.library()
    if library is None or library.pms_best_isa() < 2 or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine has no compiler, no AVX2 or no second core")
    said = run(cases / "attack-one-core" / "run.sh", PROTENIX_MS_ISA="avx2",
               ONEDNN_MAX_CPU_ISA="AVX2")
    assert "RIGHT" in said


def test_a_library_cut_short_is_compiled_again(cases):
    if native.library() is None:
        pytest.skip("this machine has no C++ compiler")
    said = run(cases / "attack-kernel-library" / "run.sh")
    assert "rc=0" in said and "RIGHT" in said
