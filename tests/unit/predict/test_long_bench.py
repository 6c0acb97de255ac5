# SPDX-License-Identifier: Apache-2.0
"""Test the state of the bench `long`: the newest block only, read again at the next start."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).resolve().parents[3] / "scripts" / "bench"
SETTINGS = {"tokens": 4}


@pytest.fixture()
def state(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCH), *sys.path])
    return importlib.import_module("long").State


def test_goes_on_behind_the_newest_block(state, tmp_path):
    first = state(tmp_path, SETTINGS)
    assert first.reached == -1 and first.load("z_0") is None
    for number in (0, 1):
        first.save_block(number, np.full(2, number), np.full((2, 2), number))
    (tmp_path / "part_z_7.npy").write_bytes(b"killed while writing")
    again = state(tmp_path, SETTINGS)
    assert again.reached == 1 and again.starts == 2
    assert (again.load("z_1") == 1).all() and (again.load("first_1") == 1).all()
    assert again.load("z_0") is None and again.load("first_0") is None


def test_refuses_another_run(state, tmp_path):
    state(tmp_path, SETTINGS)
    with pytest.raises(SystemExit, match="another run"):
        state(tmp_path, {"tokens": 5})
