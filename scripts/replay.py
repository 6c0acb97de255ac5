# SPDX-License-Identifier: Apache-2.0
"""Replay recordings of upstream and compare every stage.

python scripts/replay.py tests/golden/tiny/* [--out ours.npz] [--checkpoint FILE] [--chunk N]
    [--kernels on|off] [--threads N] [--jit on|off|auto] [--recompute KIND ...] [--all]

The files of a folder tell its kind: a prediction is compared stage by stage, a training step by
loss terms, labels and gradients, guided sampling by potentials and single steps, sequences that
ESM-2 encodes by representations, logits and contacts. A folder without a recording is skipped
with a line. The exit code is 1 if a stage is beyond its tolerance or missing, or if nothing was
compared.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "oracle")]

from protenix_ms.cli import launch  # noqa: E402
from protenix_ms.cli.predict import JIT  # noqa: E402


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", nargs="+", type=Path, metavar="FOLDER",
                        help="folders with outputs.npz or train_outputs.npz")
    parser.add_argument("--out", type=Path, help="write our stages here (one recording only)")
    parser.add_argument("--checkpoint", type=Path, help="weights of this file, not by rule")
    parser.add_argument("--chunk", type=int, help="rows per chunk of pair-sized work")
    parser.add_argument("--kernels", choices=("on", "off"), default="on",
                        help="off: MindSpore's operators in place of our own kernels")
    parser.add_argument("--threads", type=int, default=0, help="threads of our own kernels")
    parser.add_argument("--jit", choices=JIT, default="off",
                        help="compile blocks of the diffusion and pairformer stacks")
    parser.add_argument("--no-quirks", action="store_true",
                        help="accepted, without effect: quirks concern features only")
    parser.add_argument("--train", action="store_true",
                        help="accepted from earlier versions; the folder's files tell its kind")
    parser.add_argument("--recompute", nargs="*", default=[], metavar="KIND",
                        help="of a training step: modules that forget their activations")
    parser.add_argument("--all", action="store_true", help="print every stage, not the worst")
    args = parser.parse_args()
    if args.out and len(args.recordings) > 1:
        parser.error("--out takes one recording")
    return args


def show(rows: list, every: bool) -> None:
    """Print every stage, or the worst five and all that are beyond tolerance."""
    worst = sorted(rows, key=lambda r: (r.ok, -r.relative))
    for row in rows if every else worst[: max(5, sum(not r.ok for r in rows))]:
        mark = "ok" if row.ok else "FAIL"
        print(f"  {row.stage:68s} {row.absolute:9.2e} {row.relative:9.2e} {mark:4s} {row.remark}")


def replay_prediction(folder: Path, args: argparse.Namespace) -> tuple[list, dict, int]:
    """Replay a prediction; return rows, our arrays, and the number of values left out."""
    import prediction_replay as replay
    from prediction_recording import Recording

    from ckpt_convert import load_arrays

    recording = Recording.read(folder)
    arrays = None
    if args.checkpoint:
        arrays = load_arrays(args.checkpoint, replay.expected_parameters(recording))
    ours = replay.run(recording, replay.build(recording, arrays))
    contract = {k: v for k, v in ours.items() if not k.startswith(replay.INEXACT)}
    return replay.compare(recording, ours), contract, len(replay.absent(recording))


def replay_step(folder: Path, args: argparse.Namespace) -> tuple[list, dict, int]:
    """Replay a training step; return the same."""
    import training_replay as replay
    from training_recording import RecordedStep

    from ckpt_convert import load_arrays

    recording = RecordedStep.read(folder)
    arrays = None
    if args.checkpoint:
        arrays = load_arrays(args.checkpoint, replay.expected_parameters(recording))
    result, seen = replay.run(recording, replay.build(recording, arrays))
    ours = seen | {f"loss/{name}_loss": value for name, value in result.terms.items()}
    ours |= {f"grad/{name}": g.asnumpy() for name, g in result.gradients.items()}
    return replay.compare(recording, result, seen), ours, 0


def replay_guidance(folder: Path, args: argparse.Namespace) -> tuple[list, dict, int]:
    """Replay guided sampling stepwise; return the same."""
    import guidance_replay
    from prediction_recording import Recording
    from prediction_replay import expected_parameters

    from ckpt_convert import load_arrays

    arrays = None
    if args.checkpoint:
        arrays = load_arrays(args.checkpoint, expected_parameters(Recording.read(folder)))
    return guidance_replay.replay(folder, arrays)


def replay_encoder(folder: Path, args: argparse.Namespace) -> tuple[list, dict, int]:
    """Replay a batch of sequences through the ESM-2 encoder; return the same."""
    import encoder_replay

    recording = encoder_replay.EncoderRecording.read(folder)
    encodings = encoder_replay.run(recording)
    ours = {f"{key}/{number}": array for key, arrays in
            encoder_replay.stages(recording, encodings).items()
            for number, array in enumerate(arrays)}
    return encoder_replay.compare(recording, encodings), ours, 0


def kind(folder: Path) -> str:
    """Return what a folder records: "prediction", "training", "guidance", "encoder" or ""."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if "train_outputs.npz" in names:
        return "training"
    if "outputs.npz" not in names:
        return ""
    if "features.npz" not in names:
        return "encoder"
    return "guidance" if "fixed.npz" in names else "prediction"


REPLAYS = {"prediction": replay_prediction, "training": replay_step,
           "guidance": replay_guidance, "encoder": replay_encoder}


def replay(folder: Path, args: argparse.Namespace) -> bool | None:
    """Compare one folder and print its table; None where there is nothing to compare."""
    import numpy as np

    what = kind(folder)
    if not what:
        print(f"{folder.name}: skipped, it holds no outputs.npz or train_outputs.npz")
        return None
    rows, ours, absent = REPLAYS[what](folder, args)
    bad = sum(not r.ok for r in rows)
    print(f"{folder.name}: {len(rows)} stages, {bad} beyond tolerance, "
          f"{absent} recorded values left out by design")
    print(f"  {'stage':68s} {'max abs':>9s} {'max rel':>9s}")
    show(rows, args.all)
    if args.out:
        np.savez(args.out, **ours)
    return not bad


def main() -> int:
    """Replay every folder; return 1 if one is not equal."""
    args = parse()
    launch.configure("CPU")
    from protenix_ms.errors import ProtenixError
    from protenix_ms.runtime.policy import Policy, using

    chosen = Policy(chunk=args.chunk, threads=args.threads, kernels=args.kernels == "on",
                    recompute=frozenset(args.recompute), jit=JIT[args.jit])
    verdicts = {}
    for folder in args.recordings:
        try:
            with using(chosen):
                verdicts[folder.name] = replay(folder, args)
        except ProtenixError as error:
            print(f"{folder.name}: {error}")
            verdicts[folder.name] = False
    failed = [name for name, equal in verdicts.items() if equal is False]
    if failed:
        print(f"not equal: {', '.join(failed)}")
    return 1 if failed or True not in verdicts.values() else 0


if __name__ == "__main__":
    launch.relaunch()
    raise SystemExit(main())
