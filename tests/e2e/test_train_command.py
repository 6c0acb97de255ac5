# SPDX-License-Identifier: Apache-2.0
"""From deposited structures to checkpoints by the command, killed on the way."""

import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from protenix_ms.cli.arguments import replace_flags
from protenix_ms.cli.main import main
from protenix_ms.train.checkpoint import read_snapshot, snapshots

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "tests" / "data" / "tiny_training.py"


@pytest.fixture(scope="module")
def data(deposits, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "cif").mkdir()
    for name in ("1mol", "1bna"):
        source = deposits / f"{name}.cif.gz"
        (folder / "cif" / source.name).write_bytes(source.read_bytes())
    words = ["prepare-data", str(folder / "cif"), "--output", str(folder / "data")]
    assert main([*words, "--processes", "1"]) == 0
    return folder / "data"


def command(data: Path, output: Path, *words: str) -> list[str]:
    return [sys.executable, str(ROOT / "scripts" / "train.py"), "--config", str(CONFIG),
            "--data", str(data), "--output", str(output), "--loaders", "0", *words]


def steps(output: Path) -> list[str]:
    return [p.name for p in snapshots(output / "checkpoints")]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Path:
    """Train a run of three updates, judged after the second and the third."""
    output = tmp_path_factory.mktemp("runs") / "whole"
    done = subprocess.run(command(data, output, "--evaluate", str(data)), check=True, timeout=300,
                          capture_output=True, text=True)
    assert "step 0: loss" in done.stdout and "  1mol: lDDT 0." in done.stdout
    assert re.search(r"about 0\.\d GB of memory and \d\.\d s per update", done.stdout)
    return output


def test_killed_run_goes_on_to_the_same_bits(data, whole, tmp_path):
    """One was judged on its way and the other was not: that changes nothing."""
    killed = tmp_path / "killed"
    running = subprocess.Popen(command(data, killed, "--quiet", "--deterministic"))
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


def protenix_ms(*words: str) -> int:
    """Run the command in a process of its own: MindSpore's device is set once in each."""
    return subprocess.run([sys.executable, "-m", "protenix_ms.cli.main", *words], timeout=300,
                          check=False).returncode


def lines_of(file: Path) -> list[dict]:
    return [json.loads(text) for text in file.read_text().splitlines()]


def test_evaluation_on_the_way_and_of_its_own_agree(data, whole, tmp_path):
    lines = lines_of(whole / "evaluation.jsonl")
    assert [(line["step"], line["entry"]) for line in lines] == [
        (step, entry) for step in (2, 3) for entry in ("1bna", "1mol", "all")]
    dna, protein, mean = lines[3:]
    assert set(dna["pair_lddt"]) == {"A-B"} and set(dna["chain_lddt"]) == {"A", "B"}
    for line in (dna, protein):
        assert 0 <= line["lddt"]["median"] <= line["lddt"]["best"] <= 1
        assert line["rmsd"]["best"] <= line["rmsd"]["rank1"] and 0 < line["tm_score"]["best"] <= 1
        assert line["tokens"] == 24 and 0 <= line["clash"]["mean"] <= 1
    assert mean["entries"] == 2
    assert mean["lddt"]["rank1"] == pytest.approx(
        (dna["lddt"]["rank1"] + protein["lddt"]["rank1"]) / 2, abs=1e-6)
    words = ["evaluate", "--checkpoint", str(whole), "--config", str(CONFIG), "--data", str(data),
             "--output", str(tmp_path), "--crop-size", "24", "--samples", "3", "--steps", "2",
             "--cycles", "1", "--quiet"]
    assert protenix_ms(*words) == 0
    alone = lines_of(tmp_path / "evaluation.jsonl")
    assert alone == [line | {"step": 0} for line in lines[3:]]  # averaged weights, same noise
    assert main(words) == 2  # the folder holds one; refused before MindSpore is loaded


def test_curves_are_drawn(whole):
    pytest.importorskip("matplotlib", reason="needs matplotlib (extra `plot`)")
    assert (whole / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("inside", ["", "checkpoints/00000002/model.safetensors"])
def test_predict_takes_what_training_wrote(whole, tmp_path, inside):
    (tmp_path / "job.fasta").write_text(">A|protein\nGSHMKLV\n")
    words = ["predict", "--input", str(tmp_path / "job.fasta"), "--output", str(tmp_path / "out"),
             "--config", str(CONFIG), "--checkpoint", str(whole / inside), "--samples", "1",
             "--steps", "2", "--cycles", "1", "--no-plots", "--quiet"]
    assert protenix_ms(*words) == 0
    record = json.loads(next((tmp_path / "out").rglob("run.json")).read_text())
    step, file = ("00000002", "model") if "model" in inside else ("00000003", "ema")
    expected = (whole / "checkpoints" / step / f"{file}.safetensors").read_bytes()
    assert hashlib.sha256(expected).hexdigest() in json.dumps(record)


def test_fine_tuning_from_a_pytorch_file_with_two_rates(data, whole, tmp_path):
    """The first update of Adam moves a weight by its rate, whatever its gradient is."""
    torch = pytest.importorskip("torch", reason="writes a .pt as upstream does")
    before = read_snapshot(whole / "checkpoints" / "00000003").average
    state = {f"module.{n}": torch.from_numpy(w.copy()) for n, w in before.items()}
    torch.save({"model": state, "step": 7}, tmp_path / "start.pt")
    settings = {"lr_scheduler": "constant", "lr": 1e-3, "finetune_names": "confidence_head,msa",
                "finetune.lr_scheduler": "constant", "finetune.lr": 1e-2, "max_steps": 1}
    chosen = [w for k, v in settings.items() for w in ("--set", f"training.{k}={v}")]
    words = command(data, tmp_path / "run", "--init", str(tmp_path / "start.pt"), *chosen)
    subprocess.run([*words, "--quiet"], check=True, timeout=300)
    after = read_snapshot(tmp_path / "run" / "checkpoints" / "00000001").weights
    rates = {n: float(np.abs(after[n] - before[n]).max()) for n in before if "fourier" not in n
             and "_bins" not in n}
    tuned = [r for n, r in rates.items() if "confidence_head" in n or "msa" in n]
    others = [r for n, r in rates.items() if not ("confidence_head" in n or "msa" in n)]
    assert max(tuned) == pytest.approx(1e-2, rel=1e-2) and np.median(tuned) > 5e-3
    assert max(others) == pytest.approx(1e-3, rel=1e-2) and np.median(others) > 5e-4


@pytest.mark.parametrize(("words", "text"), [
    (["--stage", "stage1", "--set", "training.lrr=1"], "unknown setting 'lrr'"),
    (["--set", "nonsense"], "expected KEY=VALUE"),
    (["--config", str(ROOT / "configs" / "predict.py")], "no part `training`"),
    (["--init", "absent.safetensors"], "no such checkpoint"),
    (["--dtype", "bf16"], "bf16 runs on Ascend only"),
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
    assert replace_flags(["--config", "a.py", "--config.training.lr=1e-3", "--quiet"]) == [
        "--config", "a.py", "--set", "training.lr=1e-3", "--quiet"]
