# SPDX-License-Identifier: Apache-2.0
"""Memory and time of a training step by what is recomputed.

    python scripts/bench/recompute.py --tokens 256 --json recompute.json

Every row is a process of its own: nothing recomputed, each kind alone, all of them. The peak is
what the step adds to a process that holds weights and optimiser state; what the system has swapped
out counts, so that a row may need more than the machine has.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from sides import environment, forget_peak, make_example, memory, structure_option
from train import learner

LOOK_SECONDS = 0.02  # between two looks at a child
NONE, ALL, DEFAULT = "none", "all", "default"  # default: what the training stages switch on


def measure(args: argparse.Namespace) -> dict:
    """One step with one choice of what is recomputed."""
    from protenix_ms.runtime.draws import SeededDraws
    from protenix_ms.runtime.policy import Policy, using
    from protenix_ms.runtime.recompute import KINDS

    step, optimiser = learner(args.model, args.batch)  # its moments are held during the step
    made = make_example(args.cif, args.tokens)
    chosen = [kind for kind, on in step.config.recompute.items() if on]
    kinds = {NONE: (), ALL: KINDS, DEFAULT: chosen}.get(args.kind, (args.kind,))
    before = memory("VmRSS")
    forget_peak()
    start, cpu = time.perf_counter(), time.process_time()
    with using(Policy(recompute=frozenset(kinds))):
        result = step(made, 0, SeededDraws(1))
    return {"kind": args.kind, "tokens": len(made.tokens), "atoms": len(made.labels["coordinate"]),
            "loss": result.loss, "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - cpu, "held": before, "peak": memory("VmHWM")}


def watched(command: list[str]) -> tuple[subprocess.CompletedProcess, float]:
    """Run a child; the most memory and swap that it was seen to hold, GB."""
    seen = 0.0
    child = subprocess.Popen(command, env=environment("ours"), text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while child.poll() is None:
        status = Path(f"/proc/{child.pid}/status").read_text(encoding="ascii")
        held = re.findall(r"(?:VmRSS|VmSwap):\s+(\d+) kB", status)
        seen = max(seen, sum(map(int, held)) * 1024 / 1e9)
        time.sleep(LOOK_SECONDS)
    return subprocess.CompletedProcess(command, child.returncode, *child.communicate()), seen


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    structure_option(parser)
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
        done, seen = watched(words)
        if done.returncode:
            print(f"{kind}: ended with {done.returncode}: {done.stderr.strip()[-500:]}")
            continue
        row = json.loads(done.stdout.splitlines()[-1])
        row["peak"] = max(row["peak"], seen)
        row["added"] = row["peak"] - row["held"]
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
