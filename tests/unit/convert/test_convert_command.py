# SPDX-License-Identifier: Apache-2.0
"""The command line, sidecars, narrowing, audit and fetch."""

import hashlib
import json
import subprocess
import sys
import threading
from argparse import ArgumentParser
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

from ckpt_convert import __main__ as command
from ckpt_convert import load_arrays, open_checkpoint, variant
from ckpt_convert.checkpoint import narrow, widen
from ckpt_convert.convert import KEPT
from ckpt_convert.official import FILES, OfficialFile
from protenix_ms.cli import fetch as cli_fetch
from protenix_ms.cli.main import main as protenix_ms_main
from protenix_ms.config import get_config
from protenix_ms.errors import CheckpointError, OutputError, ProtenixError, ResourceError
from protenix_ms.model.weights import parameter_shapes

TINY = "protenix_tiny_default_v0.5.0"
SMALL = {"c_s": 8, "c_z": 8, "c_s_inputs": 73, "c_atom": 4, "c_atompair": 4}


@pytest.fixture(autouse=True)
def small_variants(monkeypatch):
    """Make two variants of one graph at small widths, so that files are small."""
    overrides = {"model.pairformer.n_blocks": 1, "model.pairformer.n_heads": 8,
                 "model.confidence_head.n_blocks": 0,
                 "model.diffusion_module.transformer.n_blocks": 1}
    monkeypatch.setattr(variant, "VARIANTS", (TINY, "protenix_mini_default_v0.5.0"))
    shapes = parameter_shapes(get_config(TINY, overrides, shared=SMALL))
    monkeypatch.setattr(variant, "released_shapes", lambda name: shapes)


def expected():
    return variant.released_shapes(TINY)


def saved(path, **changes):
    generator = torch.Generator().manual_seed(0)
    table = {n: torch.randn(s, generator=generator) for n, s in expected().items()} | changes
    torch.save({"model": {n: v for n, v in table.items() if v is not None}}, path)
    return path


def run(*words, module=command):
    parser = ArgumentParser()
    module.add_arguments(parser)
    lines: list[str] = []
    args = parser.parse_args([str(w) for w in words])
    assert (module.run(args, lines.append) if module is command else module.run(args)) == 0
    return "\n".join(lines)


def test_sidecar_tells_everything(tmp_path):
    source, target = saved(tmp_path / "a.pt"), tmp_path / "b.safetensors"
    text = run(source, target, "--provenance", "a friend")
    sidecar = json.loads((tmp_path / "b.json").read_text())
    assert sidecar["model"] == TINY and sidecar["provenance"] == "a friend"
    assert sidecar["tensors"] == len(expected()) and sidecar["dtype"] == {"F32": len(expected())}
    for side, path in (("source", source), ("result", target)):
        assert sidecar[side]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert sidecar[side]["bytes"] == path.stat().st_size
    assert sidecar["result"]["sha256"] in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pt", "b.json", "b.safetensors"]


def test_twins_without_a_telling_name_are_said(tmp_path):
    text = run(saved(tmp_path / "a.pt"), tmp_path / "b.safetensors")
    assert "say it with --model" in text
    named = saved(tmp_path / "protenix_mini_default_v0.5.0.pt")
    assert "protenix_mini_default" in run(named, tmp_path / "c.safetensors")
    assert "say it" not in run(named, tmp_path / "c.safetensors", "--model", TINY)


def test_mismatch_lists_at_most_ten_and_writes_nothing(tmp_path, capsys):
    lacking = dict.fromkeys(list(expected())[:12])
    source = saved(tmp_path / "a.pt", **lacking, strange=torch.ones(1),
                   **{"linear_no_bias_s.weight": torch.ones(3, 3)})
    words = ["convert", str(source), str(tmp_path / "b.safetensors"), "--model", TINY]
    assert protenix_ms_main(words) == 1
    text = capsys.readouterr().err
    assert "12 missing" in text and "and 2 more" in text and "1 unexpected:\n    strange" in text
    assert "linear_no_bias_s.weight is (3, 3), expected (8, 8)" in text
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


@pytest.mark.parametrize("dtype, torch_dtype", [("bf16", torch.bfloat16), ("fp16", torch.float16)])
@pytest.mark.parametrize("suffix", ["safetensors", "ckpt", "pt"])
def test_narrowing_rounds_as_torch_and_reports(tmp_path, dtype, torch_dtype, suffix):
    name = "linear_no_bias_s.weight"
    bad = torch.full((8, 8), 1.0)
    bad[0, 0] = 1 + 2.0**-9 if dtype == "bf16" else 1 + 2.0**-12
    source = saved(tmp_path / "a.pt", **{name: bad})
    words = ["--reverse"] if suffix == "pt" else []
    text = run(source, tmp_path / f"b.{suffix}", "--dtype", dtype, "--model", TINY, *words)
    assert "worst rounding" in text
    state = torch.load(source)["model"]
    for key, got in load_arrays(tmp_path / f"b.{suffix}", expected()):
        kept = torch.float32 if key in KEPT else torch_dtype
        np.testing.assert_array_equal(got, state[key].to(kept).float().numpy())


def test_fp16_overflow_is_refused(tmp_path):
    source = saved(tmp_path / "a.pt", **{"linear_no_bias_s.weight": torch.full((8, 8), 1e5)})
    with pytest.raises(CheckpointError, match=r"linear_no_bias_s.weight holds values up to 100000"):
        run(source, tmp_path / "b.safetensors", "--dtype", "fp16")
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_widening_and_integers(tmp_path):
    table = {n: torch.ones(s).bfloat16() for n, s in expected().items()}
    torch.save(table, tmp_path / "a.pt")
    run(tmp_path / "a.pt", tmp_path / "b.ckpt", "--dtype", "fp32")
    assert json.loads((tmp_path / "b.json").read_text())["dtype"] == {"F32": len(table)}
    run(tmp_path / "a.pt", tmp_path / "c.safetensors")
    assert json.loads((tmp_path / "c.json").read_text())["dtype"] == {"BF16": len(table)}
    integer = saved(tmp_path / "d.pt", **{"linear_no_bias_s.weight": torch.ones(8, 8).int()})
    with pytest.raises(CheckpointError, match="I32 instead of floating-point"):
        run(integer, tmp_path / "e.ckpt")


def test_bf16_rounding_of_every_pattern_matches_torch():
    patterns = np.random.default_rng(0).integers(0, 2**32, 1 << 20, dtype=np.uint32)
    values = np.concatenate([patterns, np.arange(2**16, dtype=np.uint32) << 16,
                             (np.arange(2**16, dtype=np.uint32) << 16) | 0x8000]).view(np.float32)
    ours = widen(narrow(values, "BF16"), "BF16")
    theirs = torch.from_numpy(values).bfloat16().float().numpy()
    np.testing.assert_array_equal(ours, theirs)


def test_audit(tmp_path):
    source = saved(tmp_path / "a.pt", **{"linear_no_bias_s.weight": torch.tensor(
        [[0.0, float("nan"), float("inf")] + [1.0] * 5] * 8)})
    text = run(source, "--audit")
    row = next(line for line in text.splitlines() if line.startswith("linear_no_bias_s "))
    assert row.split() == ["linear_no_bias_s", "1", "64", "0.8333", "0.3727", "8", "16"]
    assert text.splitlines()[-1].startswith("whole file")


WRONG = {
    "no target": (["SRC"], "no DST"), "pt without reverse": (["SRC", "b.pt"], "--reverse"),
    "two formats": (["SRC", "b.ckpt", "--format", "safetensors"], "ends in .ckpt"),
    "reverse and ckpt": (["SRC", "b.ckpt", "--reverse"], "ends in .ckpt"),
    "onto itself": (["SRC", "SRC", "--reverse"], "the source itself"),
    "no folder": (["SRC", "nowhere/b.ckpt"], "does not exist"),
    "sidecar": (["SRC", "b.json"], "sidecar"), "absent": (["x.pt", "b.ckpt"], "cannot be opened"),
    "no config": (["SRC", "b.ckpt", "--config", "x.json"], "no JSON file"),
    "strange config": (["SRC", "b.ckpt", "--config", "SRC"], "no JSON file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_is_one_sentence(tmp_path, case):
    words, expected_text = WRONG[case]
    saved(tmp_path / "a.pt")
    placed = [w if w.startswith("--") or w == "safetensors" else
              tmp_path / w.replace("SRC", "a.pt") for w in words]
    with pytest.raises(ProtenixError, match=expected_text):
        run(*placed)
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_unwritable_and_full_disk(tmp_path, monkeypatch):
    source = saved(tmp_path / "a.pt")
    (tmp_path / "b.ckpt").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        run(source, tmp_path / "b.ckpt")
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(ResourceError, match="GB free"):
        run(source, tmp_path / "c.ckpt")
    assert not list(tmp_path.glob(".*"))


def test_damage_during_reading_leaves_nothing(tmp_path):
    source = saved(tmp_path / "a.pt")
    data = bytearray(source.read_bytes())
    data[data.index(b"archive/data/9") + 200 if b"archive/data/9" in data else -3000] ^= 1
    data[len(data) // 2] ^= 255
    source.write_bytes(data)
    with pytest.raises(CheckpointError):
        run(source, tmp_path / "b.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_neither_torch_nor_mindspore_is_loaded(tmp_path):
    code = ("import sys; from ckpt_convert.__main__ import main; import ckpt_convert.download\n"
            "sys.argv += ['--audit', '--model', 'protenix-v2']; assert main() == 1\n"
            "print([m for m in ('torch', 'mindspore') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code, str(saved(tmp_path / "a.pt"))],
                          capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert "of wrong shape" in done.stderr


@pytest.mark.filterwarnings("ignore")
def test_fetch_converts_into_the_weights_folder(tmp_path, monkeypatch, capsys):
    (tmp_path / "server").mkdir()
    source = saved(tmp_path / "server" / f"{TINY}.pt")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    monkeypatch.setitem(FILES, TINY, OfficialFile(source.stat().st_size, digest))
    monkeypatch.setenv("PROTENIX_MS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "server"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        words = (TINY, "--base-url", f"http://127.0.0.1:{server.server_port}/")
        run(*words, module=cli_fetch)
        source.unlink()
        run(*words, module=cli_fetch)
        server.shutdown()
    assert "is there already" in capsys.readouterr().out
    folder = tmp_path / "home" / "weights"
    assert sorted(p.name for p in folder.iterdir()) == [f"{TINY}.json", f"{TINY}.safetensors"]
    sidecar = json.loads((folder / f"{TINY}.json").read_text())
    assert sidecar["source"]["sha256"] == digest and sidecar["provenance"].startswith("http://")
    checkpoint = open_checkpoint(folder / f"{TINY}.safetensors")
    assert len(checkpoint.names()) == len(expected())
