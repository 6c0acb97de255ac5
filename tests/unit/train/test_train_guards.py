# SPDX-License-Identifier: Apache-2.0
"""What keeps a run's work: one run a folder, whole checkpoints, finite numbers, settings that work.
"""

import json
import os
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest

from protenix_ms.cli.main import main
from protenix_ms.config.training import require_usable, training_config
from protenix_ms.errors import CheckpointError, ConfigError, NonFiniteError, OutputError
from protenix_ms.train.checkpoint import (
    Snapshot,
    finite,
    latest_snapshot,
    snapshots,
    write_snapshot,
)
from protenix_ms.train.loop import Trainer
from protenix_ms.train.optimiser import learning_rate
from protenix_ms.train.record import LOG, Record, curves_png, sole_training


def snapshot(step, **groups):
    arrays = {"w": np.full(8, step, np.float32)}
    parts = {"weights": arrays, "average": dict(arrays), "moments": {"first/w": arrays["w"]}}
    return Snapshot(step, 0, **(parts | groups), updates={"w": step})


@pytest.fixture
def three(tmp_path):
    """Make checkpoints of the steps 1 to 3."""
    for step in (1, 2, 3):
        write_snapshot(tmp_path, snapshot(step), "m", keep=3)
    return tmp_path


@pytest.mark.parametrize("word", [
    "lr=nan", "lr=inf", "lr=-1", "lr=0", "finetune.lr=nan", "max_steps=-5", "train_crop_size=0",
    "diffusion_batch_size=0", "diffusion_chunk_size=0", "checkpoint_interval=0", "warmup_steps=-1",
    "evaluation.interval=0", "iters_to_accumulate=0", "keep_checkpoints=0", "seed=4294967296",
    "seed=-1", "grad_clip_norm=nan", "ema_decay=1.5", "adam.beta2=1", "loss.weight.smooth_lddt=nan",
])
def test_settings_that_cannot_work_are_refused_before_anything(word, tmp_path, capsys):
    words = ["train", "--data", str(tmp_path), "--output", str(tmp_path / "run"),
             "--set", f"training.{word}"]
    assert main(words) == 2
    assert word.split("=")[0] in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_settings_at_their_limits_are_taken():
    config = training_config()
    config.update({"warmup_steps": 0, "seed": 2**32 - 1, "ema_decay": -1.0, "max_steps": 1})
    require_usable(config)
    assert learning_rate(0, config) == config.lr


@pytest.mark.parametrize("damage", [
    lambda place: (place / "model.safetensors").write_bytes(b""),
    lambda place: (place / "optimiser.safetensors").unlink(),
    lambda place: (place / "ema.safetensors").unlink(),
    lambda place: (place / "state.json").unlink(),
    lambda place: (place / "state.json").write_text("[]"),
    lambda place: flip_a_bit(place / "ema.safetensors"),
])
def test_a_damaged_checkpoint_is_passed_over_and_set_aside(damage, three):
    damage(three / "00000003")
    latest, reasons = latest_snapshot(three)
    assert latest.step == 2 and len(reasons) == 1 and "00000003" in reasons[0]
    assert (three / "00000003.set-aside").is_dir()
    write_snapshot(three, snapshot(4), "m", keep=2)
    assert [p.name for p in snapshots(three)] == ["00000002", "00000004"]


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(bytes(content))


def test_nothing_but_damage_is_refused_and_nothing_at_all_is_not(three, tmp_path):
    for place in snapshots(three):
        (place / "model.safetensors").write_bytes(b"{")
    with pytest.raises(CheckpointError, match="all 3 checkpoints are damaged"):
        latest_snapshot(three)
    assert latest_snapshot(tmp_path / "absent") == (None, [])


@pytest.mark.parametrize("group", ["weights", "average", "moments"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_never_written(group, value, three):
    bad = {"deep.name": np.array([1, value], np.float32)}
    with pytest.raises(NonFiniteError, match=r"step 4.*'deep.name'"):
        write_snapshot(three, snapshot(4, **{group: bad}), "m", keep=1)
    assert sorted(p.name for p in three.iterdir()) == ["00000001", "00000002", "00000003"]


def test_initial_weights_are_refused_by_name():
    arrays = [("a", np.ones(3)), ("b.c", np.array([0, np.nan])), ("d", np.ones(1))]
    seen = []
    with pytest.raises(NonFiniteError, match="'b.c'"):
        seen.extend(name for name, _ in finite(arrays, "file.pt"))
    with pytest.raises(NonFiniteError, match="'e'"):
        list(finite([("e", np.array([1e300]))], "file.pt"))  # no number of fp32


def test_a_full_disk_keeps_no_litter(three, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("protenix_ms.train.checkpoint._write", full)
    with pytest.raises(OutputError, match="No space left"):
        write_snapshot(three, snapshot(4), "m", keep=3)
    assert not list(three.glob(".partial-*"))


def test_lines_are_always_json(tmp_path):
    record = Record(tmp_path)
    record.add(LOG, {"step": 0, "rate": float("nan"), "inner": {"x": [float("inf"), 1.5]}})
    (tmp_path / LOG).open("a").write('{"step": 1, "rate": NaN}\n')  # of a run before
    record.rewind(2)
    text = (tmp_path / LOG).read_text()
    lines = [json.loads(t, parse_constant=pytest.fail) for t in text.splitlines()]
    assert lines == [{"step": 0, "rate": None, "inner": {"x": [None, 1.5]}},
                     {"step": 1, "rate": None}]


def test_curves_of_nothing_are_drawn_without_a_warning():
    pytest.importorskip("matplotlib", reason="needs matplotlib (extra `plot`)")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert curves_png([{"step": 0, "loss": None, "gradient_norm": None, "rate": 0.0}], [])


def test_two_trainings_never_share_a_folder(tmp_path):
    """Freed when the block ends and when the owner is killed."""
    code = ("import sys, pathlib\nfrom protenix_ms.train.record import sole_training\n"
            "with sole_training(pathlib.Path(sys.argv[1])):\n"
            "    print('mine', flush=True)\n    sys.stdin.read()\n")
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == "mine\n"
    words = ["train", "--data", str(tmp_path), "--output", str(tmp_path), "--resume"]
    assert main(words) == 2
    with pytest.raises(OutputError, match="another training"), sole_training(tmp_path):
        pass
    other.send_signal(signal.SIGKILL)
    other.wait()
    for _ in range(2):
        with sole_training(tmp_path), pytest.raises(OutputError), sole_training(tmp_path):
            pass


def test_interrupt_saves_and_stops_and_a_second_one_ends(new_model, training, examples, tmp_path):
    training.update({"checkpoint_interval": 100, "max_steps": 5})
    trainer = Trainer(new_model(), training, examples, tmp_path)
    trainer.run(lambda line: os.kill(os.getpid(), signal.SIGINT))
    assert trainer.step == 1
    assert [p.name for p in snapshots(tmp_path / "checkpoints")] == ["00000001"]
    again = Trainer(new_model(), training, examples, tmp_path)
    assert again.resume()

    def twice(line):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        again.run(twice)


def test_ten_skipped_updates_end_the_run_and_keep_the_checkpoint(
    new_model, training, examples, tmp_path
):
    training.update({"max_steps": 50, "keep_checkpoints": 1})
    trainer = Trainer(new_model(), training, examples, tmp_path)
    single = trainer.differentiate

    def broken(example, step, draws):
        if step:
            raise NonFiniteError("made for a test")
        return single(example, step, draws)

    trainer.differentiate = broken
    with pytest.raises(NonFiniteError, match="step 11.*10 updates in a row"):
        trainer.run()
    assert [p.name for p in snapshots(tmp_path / "checkpoints")] == ["00000001"]
    assert len(trainer.record.lines(LOG)) == 11


def test_weights_that_stop_being_finite_stop_the_run(new_model, training, examples, tmp_path):
    training.update({"max_steps": 3})
    trainer = Trainer(new_model(), training, examples, tmp_path)
    parameter = next(p for p in trainer.model.get_parameters() if p.requires_grad)

    def spoil(total):
        parameter.set_data(parameter.value() * float("nan"))
        return 1.0

    trainer._apply = spoil
    with pytest.raises(NonFiniteError, match=f"step 1.*'{parameter.name}'"):
        trainer.run()
    assert not snapshots(tmp_path / "checkpoints")


def test_unknown_schedules_are_refused_at_start(new_model, training, examples, tmp_path):
    training.lr_scheduler = "linear"
    with pytest.raises(ConfigError, match="unknown schedule"):
        Trainer(new_model(), training, examples, tmp_path)
