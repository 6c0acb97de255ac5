# SPDX-License-Identifier: Apache-2.0
"""From deposited structures to checkpoints by the command, killed on the way."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from protenix_ms.cli.main import main
from protenix_ms.cli.train import flag_words
from protenix_ms.train.checkpoint import read_snapshot, snapshots

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "tests" / "data" / "tiny_training.py"


@pytest.fixture(scope="module")
def data(shared_examples, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "cif").mkdir()
    for name in ("1mol", "1bna"):
        source = shared_examples / "cif" / f"{name}.cif.gz"
        (folder / "cif" / source.name).write_bytes(source.read_bytes())
    words = ["prepare-data", str(folder / "cif"), "--output", str(folder / "data")]
    assert main([*words, "--processes", "1"]) == 0
    return folder / "data"


def command(data: Path, output: Path, *words: str) -> list[str]:
    return [sys.executable, str(ROOT / "scripts" / "train.py"), "--config", str(CONFIG),
            "--data", str(data), "--output", str(output), "--loaders", "0", *words]


def steps(output: Path) -> list[str]:
    return [p.name for p in snapshots(output / "checkpoints")]


def test_killed_run_goes_on_to_the_same_bits(data, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(data, whole, "--quiet"), check=True, timeout=300)
    running = subprocess.Popen(command(data, killed, "--quiet"))
    deadline = time.monotonic() + 300
    while not steps(killed) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert steps(killed) and steps(killed)[-1] != "00000003"
    subprocess.run(command(data, killed, "--resume", "--quiet"), check=True, timeout=300)
    one, other = (read_snapshot(o / "checkpoints" / "00000003") for o in (whole, killed))
    for kind in ("weights", "average", "moments"):
        mine, theirs = getattr(one, kind), getattr(other, kind)
        assert mine and all(np.array_equal(mine[n], theirs[n]) for n in mine)
    lines = [json.loads(t) for t in (whole / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2]


@pytest.mark.parametrize(("words", "text"), [
    (["--stage", "stage1", "--set", "training.lrr=1"], "unknown setting 'lrr'"),
    (["--set", "nonsense"], "expected KEY=VALUE"),
    (["--config", str(ROOT / "configs" / "predict.py")], "no part `training`"),
    (["--init", "absent.safetensors"], "no such checkpoint"),
])
def test_refusals(tmp_path, capsys, words, text):
    output = tmp_path / "run"
    assert main(["train", "--data", str(tmp_path), "--output", str(output), *words]) == 2
    assert text in capsys.readouterr().err


def test_a_folder_with_a_run_is_not_written_over(tmp_path, capsys):
    (tmp_path / "log.jsonl").write_text("")
    words = ["train", "--data", str(tmp_path), "--output", str(tmp_path)]
    assert main([*words, "--config", f"{ROOT / 'configs' / 'train.py'}:stage2"]) == 2
    assert "--resume" in capsys.readouterr().err


def test_flags_as_ml_collections_users_write_them():
    assert flag_words(["--config", "a.py", "--config.training.lr=1e-3", "--quiet"]) == [
        "--config", "a.py", "--set", "training.lr=1e-3", "--quiet"]
