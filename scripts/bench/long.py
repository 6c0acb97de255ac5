# SPDX-License-Identifier: Apache-2.0
"""One long prediction that survives being killed, with a table of its stages."""

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


def replace(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f"part_{path.name}")
    write(part)
    os.replace(part, path)


class State:
    """Keep what a run leaves in its folder.

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
        self.write_stages()

    def write_stages(self) -> None:
        """Write `stages.json`."""
        record = {"settings": self.settings, "starts": self.starts, "stages": self.stages}
        text = json.dumps(record, indent=2) + "\n"
        replace(self.folder / "stages.json", lambda part: part.write_text(text, "utf-8"))

    def save(self, name: str, array: np.ndarray) -> None:
        """Write an array whole or not at all."""
        def write(part: Path) -> None:
            with part.open("wb") as file:
                np.save(file, array)

        replace(self.folder / f"{name}.npy", write)

    def load(self, name: str) -> np.ndarray | None:
        """Map an array on disk; None if it is not there."""
        path = self.folder / f"{name}.npy"
        return np.load(path, mmap_mode="r") if path.is_file() else None

    def save_block(self, number: int, first: np.ndarray, z: np.ndarray) -> None:
        """Save the outputs of a block; the pair last, since it marks the block as done."""
        self.save(f"first_{number}", first)
        self.save(f"z_{number}", z)
        for old in (*self.folder.glob("z_*.npy"), *self.folder.glob("first_*.npy")):
            if old.stem.split("_")[1] != str(number):
                old.unlink()
        self.reached = number


class Clock:
    """Record seconds and memory from one mark to the next."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._start()

    def _start(self) -> None:
        forget_peak()
        self._since = time.perf_counter(), time.process_time()

    def mark(self, stage: str) -> None:
        """End a stage here."""
        row = self._state.stages.setdefault(stage, dict.fromkeys(
            ("seconds", "cpu_seconds", "memory_gb"), 0.0))
        row["seconds"] += time.perf_counter() - self._since[0]
        row["cpu_seconds"] += time.process_time() - self._since[1]
        row["memory_gb"] = max(row["memory_gb"], memory("VmHWM"))
        print(f"{stage:28s}{row['seconds']:10.1f} s{row['memory_gb']:8.2f} GB", flush=True)
        self._state.write_stages()
        self._start()


class Resumable:
    """Hook the model's stages: what the state holds is read instead of computed."""

    def __init__(self, state: State, clock: Clock) -> None:
        self.state, self.clock, self.calls = state, clock, 0

    def install(self) -> None:
        """Put the hooks into the classes of the model."""
        from protenix_ms.model import (
            confidence,
            diffusion,
            distogram,
            msa_module,
            pairformer,
            protenix,
        )

        self._time(protenix.Protenix, "combine", "initial representations")
        self._save_blocks(msa_module.MSABlock, "MSA block")
        self._save_blocks(pairformer.PairformerBlock, "pairformer block")
        self._time(diffusion.DiffusionModule, "prepare", "diffusion conditioning")
        self._time(protenix.Protenix, "sample", "diffusion steps")
        self._time(distogram.DistogramHead, "contact_probabilities", "contacts")
        self._time(confidence.ConfidenceHead, "reduce", "confidence scores")

    def _mark(self, stage: str) -> None:
        """End a stage; before the last finished block, everything is the way back to it."""
        self.clock.mark(stage if self.calls > self.state.reached else "resuming")

    def _time(self, owner: type, method: str, stage: str) -> None:
        plain = getattr(owner, method)

        def timed(*args: object, **words: object) -> object:
            result = plain(*args, **words)
            self._mark(stage)
            return result

        setattr(owner, method, timed)

    def _save_blocks(self, owner: type, stage: str) -> None:
        plain = owner.construct

        def construct(block: object, first: object, z: object, *rest: object) -> object:
            number, self.calls = self.calls, self.calls + 1
            if number < self.state.reached:
                return first, z
            if number == self.state.reached:
                return self._read(number, z)
            first, z = plain(block, first, z, *rest)
            self.clock.mark(f"{stage} {number}")
            self.state.save_block(number, first.asnumpy(), z.asnumpy())
            self.clock.mark("saving the state")
            return first, z

        owner.construct = construct

    def _read(self, number: int, z: object) -> tuple[object, object]:
        """Read a block's outputs, the pair into the memory of the one that is there."""
        from mindspore import Tensor

        pair = self.state.load(f"z_{number}")
        for i in range(0, len(pair), ROWS):
            z[i : i + ROWS] = Tensor.from_numpy(np.array(pair[i : i + ROWS]))
        first = Tensor.from_numpy(np.array(self.state.load(f"first_{number}")))
        self.clock.mark("resuming")
        return first, z


def long(args: argparse.Namespace) -> list[dict]:
    """One long prediction with random weights, which goes on after a kill.

    Start the same command again after a kill, and it goes on behind the last finished block. The
    folder `--state` holds the newest representations and `stages.json`.
    Seconds of a stage that was cut off are lost. What is done again to get back to the last block
    is the stage "resuming". CPU seconds are over all threads. Memory is the process's, its peak
    forgotten after every stage.

        nohup nice -n 10 python scripts/bench.py long --tokens 3072 --state DIR > long.log 2>&1 &
    """
    from protenix_ms.metrics.confidence import Layout, summarize
    from protenix_ms.predict.memory import Size, estimate_bytes
    from protenix_ms.runtime.draws import SeededDraws

    state = State(args.state, {name: getattr(args, name) for name in SETTINGS})
    clock, tokens = Clock(state), int(args.tokens)
    model, features = our_model(args.model, sampling_settings(args)), make_features(tokens)
    clock.mark("program, weights, features" if state.reached < 0 else "resuming")
    Resumable(state, clock).install()
    result = model.predict(features, SeededDraws(1))
    summarize(result.confidence[0], result.coordinates[0], result.contact_probs,
              Layout.of(features), args.cycles)
    clock.mark("summary")
    arrays = (result.coordinates, result.contact_probs,
              *(x for sample in result.confidence for x in vars(sample).values()))
    size = Size(tokens, len(features["atom_to_token_idx"]), MSA_ROWS, args.samples)
    whole = {
        "seconds": sum(row["seconds"] for row in state.stages.values()),
        "cpu_seconds": sum(row["cpu_seconds"] for row in state.stages.values()),
        "memory_gb": max(row["memory_gb"] for row in state.stages.values()),
        "estimate_gb": estimate_bytes(model.config, size) / 1e9, "starts": state.starts,
        "finite": all(bool(np.isfinite(x).all()) for x in arrays)}
    stages = {**state.stages, "whole": whole}
    return [{"work": stage, "tokens": tokens, "side": "ours", **row}
            for stage, row in stages.items()]


def add_long(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `long`."""
    add_sampling(parser, "3072", cycles=1, steps=5, samples=1)
    parser.add_argument("--state", type=Path, required=True, help="folder of the run")


WORKLOADS = {"long": (long, add_long)}
