# SPDX-License-Identifier: Apache-2.0
"""Run the cells of docs/predict.ipynb in order, as a program in an empty folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "predict.ipynb"


def cells(kind: str) -> list[dict]:
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert content["nbformat"] == 4
    return [cell for cell in content["cells"] if cell["cell_type"] == kind]


@pytest.mark.slow
def test_cells_run_and_print_what_the_notebook_shows(tmp_path):
    program = tmp_path / "cells.py"
    program.write_text("\n".join("".join(cell["source"]) for cell in cells("code")))
    run = subprocess.run(
        [sys.executable, program], cwd=tmp_path, capture_output=True, text=True, timeout=600,
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)})
    assert run.returncode == 0, run.stderr[-2000:]
    streams = [o for cell in cells("code") for o in cell["outputs"] if o["output_type"] == "stream"]
    shown = "".join(line for output in streams for line in output["text"])
    # numbers depend on the instruction set, words do not
    assert [line.split()[:2] for line in run.stdout.splitlines()] == [
        line.split()[:2] for line in shown.splitlines()]


def test_it_was_executed_and_is_small():
    assert NOTEBOOK.stat().st_size < 60_000
    assert all(cell["execution_count"] for cell in cells("code"))
    assert any("random weights" in "".join(cell["source"]).lower() for cell in cells("markdown"))
