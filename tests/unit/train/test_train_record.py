# SPDX-License-Identifier: Apache-2.0
"""Lines of a run survive a kill, curves are drawn from them, TensorBoard only where it is."""

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from protenix_ms.train import record
from protenix_ms.train.record import EVALUATION, LOG, Record, curves_png, running_mean


def log_line(step, loss=2.0):
    return {"step": step, "loss": loss, "mse": 1.0, "gradient_norm": 3.0, "rate": 1e-3,
            "skipped": 0, "seconds": 0.1}


def judged(step):
    scores = {"best": 0.5, "rank1": 0.4, "median": None}
    return {"step": step, "entry": "all", "lddt": scores, "rmsd": scores, "pair_lddt": scores}


def test_rewind_forgets_what_is_done_again_and_torn_lines(tmp_path):
    run = Record(tmp_path / "run")
    for step in range(4):
        run.add(LOG, log_line(step))
        run.add(EVALUATION, judged(step + 1))
    with (run.folder / LOG).open("a") as file:
        file.write('{"step": 4, "lo')
    assert [line["step"] for line in run.lines(LOG)] == [0, 1, 2, 3]
    run.rewind(3)
    run.add(LOG, log_line(3))
    text = (run.folder / LOG).read_text()
    assert [json.loads(t)["step"] for t in text.splitlines()] == [0, 1, 2, 3]
    assert [line["step"] for line in run.lines(EVALUATION)] == [1, 2, 3]


def test_curves_have_a_panel_row_for_scores():
    pytest.importorskip("matplotlib", reason="needs matplotlib (extra `plot`)")
    from matplotlib.image import imread

    log = [log_line(0, None), *(log_line(step) for step in range(1, 300))]
    plain, scored = (imread(io.BytesIO(curves_png(log, lines)))
                     for lines in ([], [judged(100), judged(200)]))
    assert plain.shape[1] == scored.shape[1] and scored.shape[0] > 1.5 * plain.shape[0]
    assert curves_png(log, []) == curves_png(log, [])


def test_running_mean_leaves_out_what_is_unknown():
    y = np.r_[np.nan, np.ones(149), np.full(150, 3.0)]
    width, smooth = running_mean(y)
    assert width == 6 and smooth[0] == smooth[100] == 1 and smooth[-1] == 3
    assert len(smooth) == len(y) - width + 1


def test_tensorboard_gets_the_numbers(tmp_path, monkeypatch):
    lines = []
    writer = SimpleNamespace(add_scalar=lambda *a: lines.append(a), flush=lambda: None)
    module = SimpleNamespace(Writer=lambda folder: writer)
    monkeypatch.setitem(sys.modules, "tensorboard.summary", module)
    monkeypatch.setattr(record, "find_spec", lambda name: name == "tensorboard")
    run = Record(tmp_path)
    run.add(LOG, log_line(7))
    run.add(EVALUATION, judged(8))
    run.add(EVALUATION, judged(8) | {"entry": "1abc"})
    assert ("log/loss", 2.0, 7) in lines and ("evaluation/lddt/best", 0.5, 8) in lines
    assert len(lines) == 6 + 6  # undefined scores and single entries are not shown


def test_without_tensorboard_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "find_spec", lambda name: None)
    Record(tmp_path).add(LOG, log_line(0))
    assert [p.name for p in tmp_path.iterdir()] == [LOG]
