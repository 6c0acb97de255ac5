# SPDX-License-Identifier: Apache-2.0
"""Run one long prediction that survives being killed, and measure its stages."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from inputs import MSA_ROWS, add_sampling, make_features, our_model, sampling_settings
from measure import forget_peak, memory

SETTINGS = ("tokens", "model", "cycles", "steps", "samples")
ROWS = 32  # of a pair, read at once


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f"part_{path.name}")
    write(part)
    os.replace(part, path)


class State:
    """Keep what a run leaves in its folder: the newest block, seconds and memory of its stages.

    Attributes:
        reached: number of the last block whose outputs are there, -1 for none.
        stages: stage -> seconds, CPU seconds, peak GB.
        starts: how often the program was started on this folder.
    """

    def __init__(self, folder: Path, settings: dict[str, object]) -> None:
        self.folder, self.settings, self.starts = folder, settings, 1
        folder.mkdir(parents=True, exist_ok=True)
        self.stages: dict[str, dict[str, float]] = {}
        if (folder / "stages.json").is_file():
            record = json.loads((folder / "stages.json").read_text(encoding="utf-8"))
            if record["settings"] != settings:
                raise SystemExit(f"{folder} holds another run, {record['settings']}; "
                                 "choose another --state")
            self.stages, self.starts = record["stages"], record["starts"] + 1
        numbers = [int(path.stem.split("_")[1]) for path in folder.glob("z_*.npy")]
        self.reached = max(numbers, default=-1)
        self._restart()

    def _restart(self) -> None:
        forget_peak()
        self._since = time.perf_counter(), time.process_time()
        record = {"settings": self.settings, "starts": self.starts, "stages": self.stages}
        text = json.dumps(record, indent=2) + "\n"
        replace(self.folder / "stages.json", lambda part: part.write_text(text, "utf-8"))

    def mark(self, stage: str) -> None:
        """End a stage here."""
        row = self.stages.setdefault(stage, dict.fromkeys(
            ("seconds", "cpu_seconds", "memory_gb"), 0.0))
        row["seconds"] += time.perf_counter() - self._since[0]
        row["cpu_seconds"] += time.process_time() - self._since[1]
        row["memory_gb"] = max(row["memory_gb"], memory("VmHWM"))
        print(f"{stage:28s}{row['seconds']:10.1f} s{row['memory_gb']:8.2f} GB", flush=True)
        self._restart()

    def load(self, name: str) -> np.ndarray | None:
        """Map an array on disk; None if it is not there."""
        path = self.folder / f"{name}.npy"
        return np.load(path, mmap_mode="r") if path.is_file() else None

    def save_block(self, number: int, first: np.ndarray, z: np.ndarray) -> None:
        """Save the outputs of a block; the pair last, since it marks the block as done."""
        for name, array in ((f"first_{number}", first), (f"z_{number}", z)):
            def write(part: Path, array: np.ndarray = array) -> None:
                with part.open("wb") as file:
                    np.save(file, array)

            replace(self.folder / f"{name}.npy", write)
        for old in (*self.folder.glob("z_*.npy"), *self.folder.glob("first_*.npy")):
            if old.stem.split("_")[1] != str(number):
                old.unlink()
        self.reached = number


class Resumable:
    """Hook the blocks of the trunk: what the state holds is read instead of computed.

    Attributes:
        trunk: number of blocks of the trunk in all cycles; later ones are the confidence head's.
        calls: blocks that were called.
    """

    def __init__(self, state: State, trunk: int) -> None:
        self.state, self.trunk, self.calls = state, trunk, 0

    def hook(self, owner: type, stage: str) -> None:
        """Put the hook into a class of blocks."""
        plain = owner.construct

        def construct(block: object, first: object, z: object, *rest: object) -> object:
            number, self.calls = self.calls, self.calls + 1
            if number < self.state.reached:
                return first, z
            if number == self.state.reached:
                return self._read(number, z)
            self.state.mark("before the first block" if number == 0 else "between blocks")
            first, z = plain(block, first, z, *rest)
            self.state.mark(f"{stage} {number}")
            if number < self.trunk:
                self.state.save_block(number, first.asnumpy(), z.asnumpy())
                self.state.mark("saving the state")
            return first, z

        owner.construct = construct

    def _read(self, number: int, z: object) -> tuple[object, object]:
        """Read a block's outputs, the pair into the memory of the one that is there."""
        from mindspore import Tensor

        pair = self.state.load(f"z_{number}")
        for i in range(0, len(pair), ROWS):
            z[i : i + ROWS] = Tensor.from_numpy(np.array(pair[i : i + ROWS]))
        first = Tensor.from_numpy(np.array(self.state.load(f"first_{number}")))
        self.state.mark("resuming")
        return first, z


def long(args: argparse.Namespace) -> list[dict]:
    """Run one long prediction with random weights, which goes on after a kill.

    Start the same command again after a kill, and it goes on behind the last finished block of the
    trunk. The folder `--state` holds the newest representations and `stages.json`. Seconds of a
    stage that was cut off are lost. CPU seconds are over all threads. Memory is the process's, its
    peak forgotten after every stage.

        nohup nice -n 10 python scripts/bench.py long --tokens 3072 --state DIR > long.log 2>&1 &
    """
    from protenix_ms.model.msa_module import MSABlock
    from protenix_ms.model.pairformer import PairformerBlock
    from protenix_ms.predict.memory import Size, estimate_bytes
    from protenix_ms.runtime.draws import SeededDraws

    state = State(args.state, {name: getattr(args, name) for name in SETTINGS})
    tokens = int(args.tokens)
    model, features = our_model(args.model, sampling_settings(args)), make_features(tokens)
    m = model.config.model
    blocks = Resumable(state, args.cycles * (m.msa_module.n_blocks + m.pairformer.n_blocks))
    state.mark("program, weights, features" if state.reached < 0 else "resuming")
    blocks.hook(MSABlock, "MSA block")
    blocks.hook(PairformerBlock, "pairformer block")
    result = model.predict(features, SeededDraws(1), lambda stage, *_: state.mark(f"to {stage}"))
    arrays = (result.coordinates, result.contact_probs,
              *(x for sample in result.confidence for x in vars(sample).values()))
    size = Size(tokens, len(features["atom_to_token_idx"]), MSA_ROWS, args.samples)
    columns = {key: [row[key] for row in state.stages.values()]
               for key in ("seconds", "cpu_seconds", "memory_gb")}
    whole = {"seconds": sum(columns["seconds"]), "cpu_seconds": sum(columns["cpu_seconds"]),
             "memory_gb": max(columns["memory_gb"]), "starts": state.starts,
             "estimate_gb": estimate_bytes(model.config, size) / 1e9,
             "finite": all(bool(np.isfinite(x).all()) for x in arrays)}
    return [{"work": stage, "tokens": tokens, "side": "ours", **row}
            for stage, row in (*state.stages.items(), ("whole", whole))]


def add_long(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `long`."""
    add_sampling(parser, "3072", cycles=1, steps=5, samples=1)
    parser.add_argument("--state", type=Path, required=True, help="folder of the run")


WORKLOADS = {"long": (long, add_long)}
