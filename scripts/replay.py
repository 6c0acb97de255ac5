# SPDX-License-Identifier: Apache-2.0
"""Replay recordings of upstream and compare every stage.

python scripts/replay.py ../shared/golden/tiny/protenix_base_default_v1.0.0 [more folders]
    [--out ours.npz] [--checkpoint FILE] [--chunk N] [--kernels on|off] [--threads N] [--all]

Exit code 1: a stage is beyond its tolerance or missing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from protenix_ms.cli import launch  # noqa: E402


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", nargs="+", type=Path, help="folders with outputs.npz")
    parser.add_argument("--out", type=Path, help="write our stages here (one recording only)")
    parser.add_argument("--checkpoint", type=Path, help="weights of this file, not by rule")
    parser.add_argument("--chunk", type=int, help="rows per chunk of pair-sized work")
    parser.add_argument("--kernels", choices=("on", "off"), default="on",
                        help="off: MindSpore's operators in place of our own kernels")
    parser.add_argument("--threads", type=int, default=0, help="threads of our own kernels")
    parser.add_argument("--no-quirks", action="store_true",
                        help="accepted for symmetry: quirks live in features, which are given")
    parser.add_argument("--all", action="store_true", help="print every stage, not the worst")
    args = parser.parse_args()
    if args.out and len(args.recordings) > 1:
        parser.error("--out takes one recording")
    return args


def show(rows: list, every: bool) -> None:
    worst = sorted(rows, key=lambda r: (r.ok, -r.relative))
    for row in rows if every else worst[: max(5, sum(not r.ok for r in rows))]:
        mark = "ok" if row.ok else "FAIL"
        print(f"  {row.stage:68s} {row.absolute:9.2e} {row.relative:9.2e} {mark:4s} {row.remark}")


def main() -> int:
    args = parse()
    launch.configure("CPU")
    import numpy as np

    from ckpt_convert import load_arrays
    from protenix_ms.errors import ProtenixError
    from protenix_ms.predict import replay
    from protenix_ms.predict.recording import Recording
    from protenix_ms.runtime.policy import Policy, using

    chosen = Policy(chunk=args.chunk, threads=args.threads, kernels=args.kernels == "on")
    failed = []
    for folder in args.recordings:
        try:
            recording = Recording.read(folder)
            arrays = None
            if args.checkpoint:
                arrays = load_arrays(args.checkpoint, replay.expected_parameters(recording))
            with using(chosen):
                ours = replay.run(recording, replay.build(recording, arrays))
        except ProtenixError as error:
            print(f"{folder.name}: {error}")
            failed.append(folder.name)
            continue
        rows = replay.compare(recording, ours)
        bad = sum(not r.ok for r in rows)
        print(f"{folder.name}: {len(rows)} stages, {bad} beyond tolerance, "
              f"{len(replay.absent(recording))} recorded values left out by design")
        print(f"  {'stage':68s} {'max abs':>9s} {'max rel':>9s}")
        show(rows, args.all)
        failed += [folder.name] if bad else []
        if args.out:
            contract = {k: v for k, v in ours.items() if not k.startswith(replay.INEXACT)}
            np.savez(args.out, **contract)
    if failed:
        print(f"not equal: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    launch.relaunch()
    raise SystemExit(main())
