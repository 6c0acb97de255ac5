# SPDX-License-Identifier: Apache-2.0
"""Conversion of a full-size checkpoint: time and peak memory beside PyTorch's load and save.

    python scripts/bench/convert.py [--model NAME] [--folder DIR] [--runs 3]

Writes a checkpoint of random weights with `torch.save` (1.5 GB for a base model), converts it in
processes of their own, checks the result bit by bit against PyTorch, and deletes everything.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

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
import sys, torch, safetensors
state = torch.load(sys.argv[1], weights_only=True, mmap=True)["model"]
if sys.argv[2].endswith(".pt"):
    other = torch.load(sys.argv[2], weights_only=True, mmap=True)["model"]
    assert len(other) == len(state)
    assert all(torch.equal(v, other[n.removeprefix("module.")]) for n, v in state.items())
else:
    with safetensors.safe_open(sys.argv[2], "pt") as other:
        assert len(other.keys()) == len(state)
        assert all(torch.equal(v, other.get_tensor(n.removeprefix("module.")))
                   for n, v in state.items())
"""


def measured(*command: object) -> tuple[float, float]:
    """Seconds and peak resident MB of a process."""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, *map(str, command)])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"failed: {command[:2]}")
    return time.monotonic() - start, usage.ru_maxrss / 1024


def main() -> None:
    """Make, measure in turn, check, print one row a way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="protenix_base_default_v1.0.0")
    parser.add_argument("--folder", type=Path, help="where 6 GB fit; default: the temporary one")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    with TemporaryDirectory(dir=args.folder) as folder:
        source = Path(folder) / f"{args.model}.pt"
        measured("-c", MAKE, args.model, source)
        print(f"{source.name}: {source.stat().st_size / 1e6:,.0f} MB")
        ours, back = Path(folder) / "ours.safetensors", Path(folder) / "back.pt"
        ways = {
            "ours: pt -> safetensors": ("-m", "ckpt_convert", source, ours),
            "torch.load + save_file": ("-c", TORCH_SAFETENSORS, source, Path(folder) / "t.st"),
            "ours: safetensors -> pt": ("-m", "ckpt_convert", ours, back, "--reverse"),
            "torch.load + torch.save": ("-c", TORCH_PT, source, Path(folder) / "t.pt"),
            "ours: pt -> ckpt": ("-m", "ckpt_convert", source, Path(folder) / "ours.ckpt"),
        }
        results: dict[str, list] = {way: [] for way in ways}
        for _ in range(args.runs):
            for way, command in ways.items():
                results[way].append(measured(*command))
        for way, rows in results.items():
            seconds, memory = (median(column) for column in zip(*rows))
            print(f"{way:<26}{seconds:>8.1f} s{memory:>9,.0f} MB peak")
        for result in (ours, back):
            measured("-c", CHECK, source, result)
        print("both results are equal to the source bit by bit")


if __name__ == "__main__":
    main()
