# SPDX-License-Identifier: Apache-2.0
"""Memory and time of a training step by what is recomputed.

    python scripts/bench/recompute.py --cif DIR_OR_FILE --tokens 256 --json recompute.json

Every row is a process of its own: nothing recomputed, each kind alone, all of them. The peak is
what the step adds to a process that holds weights and optimiser state.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from sides import MSA_ROWS, environment, memory

NONE, ALL, DEFAULT = "none", "all", "default"  # default: what the training stages switch on


def example(path: Path, tokens: int):
    """A training example cut from a deposited structure, with a random alignment."""
    import numpy as np

    from protenix_ms.chem.ccd import ComponentDictionary
    from protenix_ms.structures.crop import CropOptions
    from protenix_ms.structures.entry import read_entry
    from protenix_ms.structures.example import ExampleOptions, training_example
    from protenix_ms.structures.symmetry import Symmetries

    rng, ccd = np.random.default_rng(0), ComponentDictionary.load()
    entry = read_entry(path, ccd)
    options = ExampleOptions(CropOptions(tokens, (0.0, 1.0, 0.0)))
    chain = str(entry.atoms.chain_id[0])
    made = training_example(entry, [chain], rng, options, Symmetries(ccd))
    n = len(made.features["restype"])
    made.features["msa"] = rng.integers(0, 21, (MSA_ROWS, n))
    for name in ("has_deletion", "deletion_value"):
        made.features[name] = np.zeros((MSA_ROWS, n), np.float32)
    made.features["resolution"] = np.array([2.0], np.float32)
    return made, n


def measure(args: argparse.Namespace) -> dict:
    """One step with one choice of what is recomputed."""
    import mindspore

    from protenix_ms.config import get_config
    from protenix_ms.config.training import training_config
    from protenix_ms.model.protenix import Protenix
    from protenix_ms.model.weights import load_weights
    from protenix_ms.predict.weights import Weights
    from protenix_ms.runtime.draws import SeededDraws
    from protenix_ms.runtime.policy import Policy, using
    from protenix_ms.runtime.recompute import KINDS
    from protenix_ms.train.optimiser import Adam
    from protenix_ms.train.step import TrainingStep

    mindspore.runtime.launch_blocking()
    config, training = get_config(args.model, {"model.N_cycle": 1}), training_config()
    training.diffusion_batch_size = args.batch
    model = Protenix(config)
    load_weights(model, Weights(random_seed=0).arrays(config))
    step = TrainingStep(model.set_train(True), training)
    optimiser = Adam({p.name: p for p in step.parameters}, training.adam)
    optimiser.first = {p.name: p.value().copy() for p in step.parameters}
    optimiser.second = {p.name: p.value().copy() for p in step.parameters}
    made, tokens = example(args.cif, args.tokens)
    chosen = [kind for kind, on in training.recompute.items() if on]
    kinds = {NONE: (), ALL: KINDS, DEFAULT: chosen}.get(args.kind, (args.kind,))
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    start, cpu = time.perf_counter(), time.process_time()
    with using(Policy(recompute=frozenset(kinds))):
        result = step(made, 0, SeededDraws(1))
    return {"kind": args.kind, "tokens": tokens, "atoms": len(made.labels["coordinate"]),
            "loss": result.loss, "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - cpu, "held": before,
            "peak": memory("VmHWM"), "added": memory("VmHWM") - before}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cif", type=Path, required=True, help="a deposited structure")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4, help="diffusion samples")
    parser.add_argument("--model", default="protenix_tiny_default_v0.5.0")
    parser.add_argument("--kinds", nargs="*", help="rows of the table, all by default")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--kind", help=argparse.SUPPRESS)  # the child's
    return parser.parse_args()


def main() -> None:
    args = parse()
    if args.kind:
        print(json.dumps(measure(args)))
        return
    from protenix_ms.runtime.recompute import KINDS

    rows = []
    for kind in args.kinds or (NONE, *KINDS, ALL):
        words = [sys.executable, __file__, *sys.argv[1:], "--kind", kind]
        done = subprocess.run(words, env=environment("ours"), capture_output=True, text=True,
                              check=False)
        if done.returncode:
            print(f"{kind}: {done.stderr.splitlines()[-1:]}")
            continue
        row = json.loads(done.stdout.splitlines()[-1])
        rows.append(row)
        less = 1 - row["added"] / rows[0]["added"]
        print(f"{kind:24s} {row['tokens']:5d} tokens {row['atoms']:6d} atoms  "
              f"+{row['added']:6.2f} GB ({less:6.1%} less)  peak {row['peak']:6.2f} GB  "
              f"{row['seconds']:7.1f} s wall {row['cpu_seconds']:7.1f} s CPU  "
              f"loss {row['loss']:.6f}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
