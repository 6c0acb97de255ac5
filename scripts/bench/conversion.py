# SPDX-License-Identifier: Apache-2.0
"""Measure the conversion of a full-size checkpoint beside PyTorch."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from inputs import BASE
from measure import BENCH, environment

MAKE = """
import sys, torch
from protenix_ms.config.parameters import released_shapes
shapes = released_shapes(sys.argv[1])
torch.save({"model": {f"module.{n}": torch.randn(s) for n, s in shapes.items()}}, sys.argv[2])
"""
TORCH_PT = """
import sys, torch
torch.save(torch.load(sys.argv[1], weights_only=True), sys.argv[2])
"""
TORCH_SAFETENSORS = """
import sys, torch
from safetensors.torch import save_file
state = torch.load(sys.argv[1], weights_only=True)["model"]
save_file({n.removeprefix("module."): v for n, v in state.items()}, sys.argv[2])
"""
CHECK = """
import sys, torch
from safetensors.torch import load_file
state = torch.load(sys.argv[1], weights_only=True, mmap=True)["model"]
other = (torch.load(sys.argv[2], weights_only=True, mmap=True)["model"]
         if sys.argv[2].endswith(".pt") else load_file(sys.argv[2]))
assert len(other) == len(state)
assert all(torch.equal(v, other[n.removeprefix("module.")]) for n, v in state.items())
"""


def run_measured(*command: object) -> dict[str, float]:
    """Run a process; return its seconds and its peak of resident GB."""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, *map(str, command)], env=environment("ours"),
                               cwd=BENCH.parents[1])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {command[:3]}")
    return {"seconds": time.monotonic() - start, "memory_gb": usage.ru_maxrss * 1024 / 1e9}


def convert(args: argparse.Namespace) -> list[dict]:
    """Measure the conversion of a full-size checkpoint beside PyTorch's load and save.

    Writes a checkpoint of random weights with `torch.save` (1.5 GB for a base model), converts it
    in processes of their own, checks the results bit by bit against PyTorch, deletes everything.
    """
    with TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name).resolve()
        source = folder / f"{args.model}.pt"
        run_measured("-c", MAKE, args.model, source)
        ours, back = folder / "ours.safetensors", folder / "back.pt"
        ways = {
            ("pt to safetensors", "ours"): ("-m", "ckpt_convert", source, ours),
            ("pt to safetensors", "upstream"): ("-c", TORCH_SAFETENSORS, source, folder / "t.st"),
            ("safetensors to pt", "ours"): ("-m", "ckpt_convert", ours, back, "--reverse"),
            ("safetensors to pt", "upstream"): ("-c", TORCH_PT, source, folder / "t.pt"),
            ("pt to ckpt", "ours"): ("-m", "ckpt_convert", source, folder / "ours.ckpt"),
        }
        runs: dict[tuple, list] = {way: [] for way in ways}
        for _ in range(args.repeats):
            for way, command in ways.items():
                runs[way].append(run_measured(*command))
        for result in (ours, back):
            run_measured("-c", CHECK, source, result)
    return [{"work": work, "side": side, **{k: median(run[k] for run in way) for k in way[0]}}
            for (work, side), way in runs.items()]


def add_convert(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `convert`."""
    parser.add_argument("--model", default=BASE)
    parser.add_argument("--folder", type=Path, help="where 6 GB fit; default: the temporary one")
    parser.add_argument("--repeats", type=int, default=3)


WORKLOADS = {"convert": (convert, add_convert)}
