# SPDX-License-Identifier: Apache-2.0
"""The loop on a tiny model: it learns, resumes to the bit, skips what is not finite, stops."""

import json
import os
import signal

import numpy as np
import pytest
from mindspore import float32

from protenix_ms.errors import CheckpointError
from protenix_ms.model.weights import load_weights
from protenix_ms.runtime.draws import SeededDraws
from protenix_ms.runtime.policy import Policy, using
from protenix_ms.train.checkpoint import read_snapshot, snapshots
from protenix_ms.train.loop import Trainer


def weights(trainer) -> dict[str, np.ndarray]:
    return {p.name: p.asnumpy().copy() for p in trainer.model.get_parameters()}


def test_interrupted_and_not_give_the_same_bits(new_model, training, examples, tmp_path):
    """Also: checkpoints rotate, the log holds every step, averages load as weights."""
    training.update({"max_steps": 3, "keep_checkpoints": 2})
    whole = Trainer(new_model(), training, examples, tmp_path / "whole")
    whole.run()
    training.max_steps = 2
    first = Trainer(new_model(), training, examples, tmp_path / "parts")
    assert not first.resume()
    first.run()
    training.max_steps = 3
    second = Trainer(new_model(), training, examples, tmp_path / "parts")
    assert second.resume() and second.step == 2
    second.run()
    expected, actual = weights(whole), weights(second)
    assert all(np.array_equal(expected[n], actual[n]) for n in expected)
    kept = [snapshots(tmp_path / p / "checkpoints") for p in ("whole", "parts")]
    assert [[p.name for p in k] for k in kept] == [["00000002", "00000003"]] * 2
    one, other = (read_snapshot(k[-1]) for k in kept)
    assert one.step == other.step == 3 and one.updates == other.updates
    for kind in ("weights", "average", "moments"):
        mine, theirs = getattr(one, kind), getattr(other, kind)
        assert mine.keys() == theirs.keys() and mine
        assert all(np.array_equal(mine[n], theirs[n]) for n in mine)
    log = (tmp_path / "parts" / "log.jsonl").read_text().splitlines()
    lines = [json.loads(text) for text in log]
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert lines[0]["rate"] == 0 and lines[1]["rate"] == training.lr
    assert all(np.isfinite(line["loss"]) and line["gradient_norm"] > 0 for line in lines)
    load_weights(whole.model, one.average.items())  # what `predict` reads, constants included
    assert any(not np.array_equal(one.average[n], one.weights[n]) for n in one.weights)


def test_what_is_not_finite_is_skipped_and_counted(new_model, training, examples, tmp_path):
    def broken(start):
        for position, example in enumerate(examples(start), start):
            if position == 1:
                example.labels["coordinate"][0] = np.nan
                example.labels_full["coordinate"][0] = np.nan
            yield example

    training.max_steps = 2
    trainer = Trainer(new_model(), training, broken, tmp_path)
    trainer.run()
    assert trainer.skipped == 1 and trainer.step == 2
    assert all(np.isfinite(w).all() for w in weights(trainer).values())


def test_a_gradient_that_is_not_finite_changes_nothing(new_model, training, examples, tmp_path):
    training.update({"max_steps": 2})
    trainer = Trainer(new_model(), training, examples, tmp_path)
    single = trainer.differentiate

    def infinite(example, step, draws):
        result = single(example, step, draws)
        name = "confidence_head.linear_no_bias_pae.weight"
        if step == 1:
            result.gradients[name] = result.gradients[name] + float("inf")
        return result

    trainer.differentiate = infinite
    seen = []
    trainer.run(lambda line: seen.append(weights(trainer)))
    lines = trainer.record.lines("log.jsonl")
    assert [line["skipped"] for line in lines] == [0, 1] and lines[1]["gradient_norm"] is None
    assert all(np.array_equal(seen[0][n], seen[1][n]) for n in seen[0])
    assert set(trainer.optimiser.updates.values()) == {1}


def test_sigterm_saves_and_stops(new_model, training, examples, tmp_path):
    training.checkpoint_interval = 100
    trainer = Trainer(new_model(), training, examples, tmp_path)
    trainer.run(lambda line: os.kill(os.getpid(), signal.SIGTERM))
    assert trainer.step == 1
    assert [p.name for p in snapshots(tmp_path / "checkpoints")] == ["00000001"]


def test_accumulated_gradients_are_the_mean(new_model, training, examples, tmp_path):
    training.update({"iters_to_accumulate": 2, "max_steps": 1, "ema_decay": -1.0})
    trainer = Trainer(new_model(), training, examples, tmp_path)
    seen = []
    trainer._apply = lambda total: seen.append(total) or 1.0
    single = trainer.differentiate
    parts = []
    trainer.differentiate = lambda *a: parts.append(single(*a)) or parts[-1]
    trainer.run()
    name = "pairformer_stack.blocks.0.tri_mul_out.linear_z.weight"
    mean = sum(p.gradients[name].asnumpy() for p in parts) / 2
    assert len(parts) == 2
    assert np.allclose(seen[0].gradients[name].asnumpy(), mean, rtol=1e-6, atol=1e-12)


def test_confidence_alone_changes_nothing_else(new_model, training, examples, tmp_path):
    training.update({"train_confidence_only": True, "max_steps": 2})
    before = {p.name: p.asnumpy().copy() for p in new_model().get_parameters()}
    trainer = Trainer(new_model(), training, examples, tmp_path)
    trainer.run()
    changed = {n for n, w in weights(trainer).items() if not np.array_equal(w, before[n])}
    assert changed and all(n.startswith("confidence_head.") for n in changed)


def test_a_step_in_bf16_keeps_weights_and_losses_in_fp32(new_model, training, examples, tmp_path):
    """Products are rounded to bf16 as on Ascend; islands and losses are fp32."""
    steps = {}
    for dtype in ("fp32", "bf16"):
        with using(Policy(dtype=dtype)):
            trainer = Trainer(new_model(), training, examples, tmp_path / dtype)
            steps[dtype] = trainer.differentiate(next(examples(0)), 0, SeededDraws(1))
    low = {n for n, cell in trainer.model.cells_and_names() if getattr(cell, "bf16", False)}
    assert any(n.startswith("pairformer_stack.") for n in low)
    assert any(n.startswith("confidence_head.pairformer_stack.") for n in low)
    assert not any(n.startswith(("diffusion_module.", "distogram_head.")) for n in low)
    exact, rounded = steps["fp32"], steps["bf16"]
    assert rounded.loss != exact.loss and rounded.loss == pytest.approx(exact.loss, rel=0.05)
    assert all(g.dtype == float32 and np.isfinite(g.asnumpy()).all()
               for g in rounded.gradients.values())


def test_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        read_snapshot(tmp_path)
