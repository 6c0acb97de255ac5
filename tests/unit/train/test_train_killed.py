# SPDX-License-Identifier: Apache-2.0
"""kill -9 at points where it hurts, then a restart: the same bits as a run that was left alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import killed_run
import numpy as np
import pytest

from protenix_ms.train.checkpoint import read_snapshot, snapshots
from protenix_ms.train.loop import Trainer


def lines(trainer):
    return [{k: v for k, v in line.items() if k != "seconds"}
            for line in trainer.record.lines("log.jsonl")]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Read snapshot and log of the run that nobody killed; the first test makes them."""
    return {"folder": tmp_path_factory.mktemp("alone")}


@pytest.mark.parametrize("point", killed_run.POINTS)
def test_restart(point, alone, new_model, training, examples, tmp_path):
    training.update(killed_run.SETTINGS)
    if "log" not in alone:
        whole = Trainer(new_model(), training, examples, alone["folder"])
        whole.run()
        alone |= {"log": lines(whole), "end": snapshots(alone["folder"] / "checkpoints")[-1]}
    root = Path(__file__).resolve().parents[3]
    killed = subprocess.run([sys.executable, killed_run.__file__, point, str(tmp_path)],
                            env={**os.environ, "PYTHONPATH": str(root)}, timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = [p.name for p in snapshots(tmp_path / "checkpoints")]
    later = point in ("after the rename", "mid-rotation")
    assert left[-1:] == ["00000002" if later else "00000001"]
    again = Trainer(new_model(), training, examples, tmp_path)
    assert again.resume() and again.step == 1 + later
    again.run()
    one, other = (read_snapshot(p) for p in (alone["end"],
                                             snapshots(tmp_path / "checkpoints")[-1]))
    assert one.step == other.step == 4 and one.updates == other.updates
    for kind in ("weights", "average", "moments"):
        mine, theirs = getattr(one, kind), getattr(other, kind)
        assert mine.keys() == theirs.keys() and mine
        assert all(np.array_equal(mine[n], theirs[n]) for n in mine), kind
    assert lines(again) == alone["log"]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1  # nothing half is left
