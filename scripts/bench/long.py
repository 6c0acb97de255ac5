# SPDX-License-Identifier: Apache-2.0
"""One long prediction that survives being killed, with a table of its stages.

    nohup nice -n 10 python scripts/bench/long.py --tokens 3072 --state DIR > long.log 2>&1 &

A random protein with a random alignment and random weights. Start the same command again after a
kill, and it goes on behind the last finished block: DIR holds the representations after every
MSA and pairformer block (the newest only, two arrays), the coordinates, the contacts, the scores,
and `stages.json`, seconds and memory of every stage. Seconds of a stage that was cut off are lost;
what is done again to get back to the last block is the stage "resuming". Beside the seconds on the
wall, which grow when the machine has other work, stand those of the processor, over all threads.
Memory is of the process, its peak forgotten after every stage (Linux, /proc/self/clear_refs).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sides import MSA_ROWS, environment, forget_peak, make_features, memory

SETTINGS = ("tokens", "model", "cycles", "steps", "samples")
ROWS = 32  # of a pair, read at once
CHECK_SECONDS = 2.0


def replace(path: Path, write: Callable[[Path], None]) -> None:
    """A file that is there as a whole or not at all."""
    part = path.with_name(f"part_{path.name}")
    write(part)
    os.replace(part, path)


class State:
    """What a run leaves in its folder.

    Attributes:
        reached: number of the last block whose outputs are there, -1 for none.
        stages: stage -> seconds, processor seconds, VmRSS at its end, VmHWM, starts of the
            program that finished it.
    """

    def __init__(self, folder: Path, settings: dict[str, object]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.stages: dict[str, dict[str, float]] = {}
        self.starts = 1
        if (folder / "stages.json").is_file():
            record = json.loads((folder / "stages.json").read_text(encoding="utf-8"))
            if record["settings"] != settings:
                raise SystemExit(f"{folder} holds another run, {record['settings']}; "
                                 "choose another --state")
            self.stages, self.starts = record["stages"], record["starts"] + 1
        self.settings = settings
        found = [int(path.stem.split("_")[1]) for path in folder.glob("z_*.npy")]
        self.reached = max(found, default=-1)
        self.write_stages()

    def write_stages(self, **more: object) -> None:
        record = {"settings": self.settings, "starts": self.starts, "stages": self.stages,
                  "peak_gb": max((s["hwm_gb"] for s in self.stages.values()), default=0.0),
                  "seconds": sum(s["seconds"] for s in self.stages.values()), **more}
        text = json.dumps(record, indent=2) + "\n"
        replace(self.folder / "stages.json", lambda part: part.write_text(text, "utf-8"))

    def save(self, name: str, array: np.ndarray) -> None:
        def write(part: Path) -> None:
            with part.open("wb") as file:
                np.save(file, array)

        replace(self.folder / f"{name}.npy", write)

    def load(self, name: str) -> np.ndarray | None:
        """An array on disk, read where it is used; None if it is not there."""
        path = self.folder / f"{name}.npy"
        return np.load(path, mmap_mode="r") if path.is_file() else None

    def save_block(self, number: int, first: np.ndarray, z: np.ndarray) -> None:
        """Outputs of a block; the pair last, since it marks the block as done."""
        self.save(f"first_{number}", first)
        self.save(f"z_{number}", z)
        for old in (*self.folder.glob("z_*.npy"), *self.folder.glob("first_*.npy")):
            if old.stem.split("_")[1] != str(number):
                old.unlink()
        self.reached = number


class Clock:
    """Seconds and memory from one mark to the next."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._start()

    def _start(self) -> None:
        forget_peak()
        self._since, self._cpu_since = time.perf_counter(), time.process_time()

    def mark(self, stage: str) -> None:
        """The stage that ends here."""
        now = time.perf_counter()
        row = self._state.stages.setdefault(
            stage, {"seconds": 0.0, "cpu_seconds": 0.0, "rss_gb": 0.0, "hwm_gb": 0.0, "times": 0})
        row["seconds"] += now - self._since
        row["cpu_seconds"] += time.process_time() - self._cpu_since
        row["rss_gb"] = memory("VmRSS")
        row["hwm_gb"] = max(row["hwm_gb"], memory("VmHWM"))
        row["times"] += 1
        print(f"{stage:28s}{now - self._since:10.1f} s{row['rss_gb']:8.2f} GB"
              f"{memory('VmHWM'):8.2f} GB peak", flush=True)
        self._state.write_stages()
        self._start()


class Resumable:
    """Hooks around the model's stages: what the state holds is read instead of computed."""

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

        self._after(protenix.Protenix, "combine", "initial representations")
        self._block(msa_module.MSABlock, "MSA block")
        self._block(pairformer.PairformerBlock, "pairformer block")
        self._after(diffusion.DiffusionModule, "prepare", "diffusion conditioning")
        self._kept(protenix.Protenix, "sample", "coordinates", "diffusion steps", np.asarray)
        self._kept(distogram.DistogramHead, "contact_probabilities", "contacts", "contacts",
                   lambda x: x.asnumpy())
        self._after(confidence.ConfidenceHead, "reduce", "confidence scores")

    def _after(self, owner: type, method: str, stage: str) -> None:
        plain = getattr(owner, method)

        def timed(*args: object, **words: object) -> object:
            result = plain(*args, **words)
            self._mark(stage)
            return result

        setattr(owner, method, timed)

    def _mark(self, stage: str) -> None:
        """Before the last finished block, everything is on the way back to it."""
        self.clock.mark(stage if self.calls > self.state.reached else "resuming")

    def _kept(
        self, owner: type, method: str, name: str, stage: str, array: Callable[..., np.ndarray]
    ) -> None:
        """A method whose result is small enough to keep for good."""
        from mindspore import Tensor

        plain = getattr(owner, method)

        def kept(*args: object, **words: object) -> object:
            there = self.state.load(name)
            if there is not None:
                there = np.array(there)
                return there if name == "coordinates" else Tensor.from_numpy(there)
            result = plain(*args, **words)
            self._mark(stage)
            self.state.save(name, array(result))
            return result

        setattr(owner, method, kept)

    def _block(self, owner: type, stage: str) -> None:
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
        """Outputs of a block from disk; the pair into the memory of the one that is there."""
        from mindspore import Tensor

        pair = self.state.load(f"z_{number}")
        for i in range(0, len(pair), ROWS):
            z[i : i + ROWS] = Tensor.from_numpy(np.array(pair[i : i + ROWS]))
        first = Tensor.from_numpy(np.array(self.state.load(f"first_{number}")))
        self.clock.mark("resuming")
        return first, z


def stop_when_short(gib: float) -> None:
    """End this process by SIGTERM when the machine has less memory left than that."""
    from protenix_ms.predict.memory import available_bytes

    def watch() -> None:
        while (free := available_bytes()) is None or free > gib * 2**30:
            time.sleep(CHECK_SECONDS)
        print(f"stopped: {free / 2**30:.1f} GiB of memory are left on this machine", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def run(args: argparse.Namespace, state: State) -> None:
    """The prediction, from wherever it had got to."""
    import mindspore

    from protenix_ms.config import get_config
    from protenix_ms.metrics.confidence import Layout, summarize
    from protenix_ms.model.protenix import Protenix
    from protenix_ms.model.weights import load_weights, shapes_of
    from protenix_ms.predict.memory import Size, estimate_bytes
    from protenix_ms.predict.weights import Weights
    from protenix_ms.runtime.draws import SeededDraws

    mindspore.runtime.launch_blocking()
    clock = Clock(state)
    config = get_config(args.model, {
        "model.N_cycle": args.cycles, "sample_diffusion.N_sample": args.samples,
        "sample_diffusion.N_step": args.steps, "mc_dropout_apply_rate": 0.0,
        "model.msa_module.sample_lower_bound": MSA_ROWS})
    model = Protenix(config)
    load_weights(model, Weights(random_seed=0).arrays(shapes_of(model)))
    model.set_train(False)
    features = make_features(args.tokens)
    size = Size(args.tokens, len(features["atom_to_token_idx"]), MSA_ROWS, args.samples)
    clock.mark("program, weights, features" if state.reached < 0 else "resuming")
    Resumable(state, clock).install()
    prediction = model.predict(features, SeededDraws(1))
    summary = summarize(prediction.confidence[0], prediction.coordinates[0],
                        prediction.contact_probs, Layout.of(features), args.cycles)
    clock.mark("summary")
    finite = all(np.isfinite(x).all() for x in (
        prediction.coordinates, prediction.contact_probs, *(
            x for sample in prediction.confidence for x in vars(sample).values())))
    state.write_stages(
        atoms=size.atoms, finite=bool(finite), estimate_gb=estimate_bytes(config, size) / 1e9,
        plddt=summary["plddt"], ptm=summary["ptm"],
        remark="weights are random: the structure means nothing, only its being finite does")


def show(folder: Path) -> None:
    """The table of a finished or unfinished run."""
    record = json.loads((folder / "stages.json").read_text(encoding="utf-8"))
    print(f"{record['settings']}, {record['starts']} starts")
    print(f"{'stage':28s}{'seconds':>10s}{'CPU s':>10s}{'VmRSS GB':>10s}{'VmHWM GB':>10s}")
    for stage, row in record["stages"].items():
        print(f"{stage:28s}{row['seconds']:10.1f}{row['cpu_seconds']:10.1f}"
              f"{row['rss_gb']:10.2f}{row['hwm_gb']:10.2f}")
    print(f"{'all':28s}{record['seconds']:10.1f}{'':20s}{record['peak_gb']:10.2f}")
    if "finite" in record:
        print(f"{record['atoms']} atoms, all numbers finite: {record['finite']}; estimate "
              f"{record['estimate_gb']:.2f} GB; {record['remark']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=3072)
    parser.add_argument("--state", type=Path, required=True, help="folder of the run")
    parser.add_argument("--model", default="protenix_tiny_default_v0.5.0")
    parser.add_argument("--cycles", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--keep-free", type=float, default=2.0, metavar="GIB",
                        help="stop when the machine has less memory left (2)")
    parser.add_argument("--show", action="store_true", help="print the table and do nothing")
    args = parser.parse_args()
    if args.show:
        show(args.state)
        return
    if any(os.environ.get(k) != v for k, v in environment("ours").items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], environment("ours"))
    state = State(args.state, {name: getattr(args, name) for name in SETTINGS})
    stop_when_short(args.keep_free)
    run(args, state)
    show(args.state)


if __name__ == "__main__":
    main()
