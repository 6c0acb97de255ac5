# SPDX-License-Identifier: Apache-2.0
"""Peak memory of a prediction by stage and size, the estimate beside it.

    python scripts/bench/memory.py --tokens 64,128,256,512 --json memory.json
    python scripts/bench/memory.py --runs memory.json DIR/stages.json --plot growth.png

The second draws growth of time and memory from runs made before, long ones (long.py) included.
Every size runs in a process of its own, as the command runs it. The peak is the whole process's,
weights and program included, as `predict/memory.py` estimates it; the system forgets it at the end
of every stage (Linux, /proc/self/clear_refs).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from sides import MSA_ROWS, environment, forget_peak, make_features, memory

STAGES = {"recycle": "trunk", "step": "diffusion", "sample": "confidence"}


def measure(args: argparse.Namespace, tokens: int) -> dict:
    """One prediction: seconds and peak GB of every stage, the estimate."""
    import mindspore

    from protenix_ms.config import get_config
    from protenix_ms.model.protenix import Protenix
    from protenix_ms.model.weights import load_weights, shapes_of
    from protenix_ms.predict.memory import Size, estimate_bytes
    from protenix_ms.predict.weights import Weights
    from protenix_ms.runtime.draws import SeededDraws

    mindspore.runtime.launch_blocking()
    settings = {"model.N_cycle": args.cycles, "sample_diffusion.N_sample": args.samples,
                "sample_diffusion.N_step": args.steps, "mc_dropout_apply_rate": 0.0,
                "model.msa_module.sample_lower_bound": MSA_ROWS}
    config = get_config(args.model, settings)
    model = Protenix(config)
    load_weights(model, Weights(random_seed=0).arrays(shapes_of(model)))
    model.set_train(False)
    features = make_features(tokens)
    size = Size(tokens, len(features["atom_to_token_idx"]), MSA_ROWS, args.samples)
    peaks = {"start": memory("VmHWM"), **dict.fromkeys(STAGES.values(), 0.0)}
    forget_peak()

    def progress(stage: str, done: int, total: int) -> None:
        name = STAGES[stage]
        peaks[name] = max(peaks[name], memory("VmHWM"))
        forget_peak()

    start = time.perf_counter()
    model.predict(features, SeededDraws(1), progress)
    seconds = time.perf_counter() - start
    estimate = estimate_bytes(config, size) / 1e9
    return {"tokens": tokens, "atoms": size.atoms, "seconds": seconds, "peaks_gb": peaks,
            "estimate_gb": estimate, "ratio": estimate / max(peaks.values())}


def read_runs(files: list[Path]) -> list[dict]:
    """Rows of earlier runs, smallest first: of this bench, or of a finished long run."""
    rows = []
    for file in files:
        record = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(record, list):
            rows += [{**row, "peak_gb": max(row["peaks_gb"].values())} for row in record]
        elif "finite" in record:
            rows.append({**record, "tokens": record["settings"]["tokens"]})
    return sorted(rows, key=lambda row: row["tokens"])


def plot(rows: list[dict], file: Path) -> None:
    """Seconds and peak memory against tokens, logarithmic, with what cubes and squares would be."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tokens = [row["tokens"] for row in rows]
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    axes[1].loglog(tokens, [row["estimate_gb"] for row in rows], "x--", color="C1",
                   label="estimate")
    looks = (("seconds", "seconds", 3, "time of a prediction", 10),
             ("peak_gb", "GB", 2, "peak memory of the process", 2))
    for axis, (key, unit, power, title, base) in zip(axes, looks, strict=True):
        axis.loglog(tokens, [row[key] for row in rows], "o-", label="measured")
        guide = [rows[-1][key] * (n / tokens[-1]) ** power for n in tokens]
        axis.loglog(tokens, guide, ":", color="grey", label=f"tokens to the power of {power}")
        axis.set_yscale("log", base=base)
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
        axis.set(xlabel="tokens", ylabel=unit, xticks=tokens, xticklabels=tokens, title=title)
        axis.set_ylim(bottom=min(row[key] for row in rows) / 2)
        axis.legend()
    figure.savefig(file, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", default="64,128,256,512")
    parser.add_argument("--model", default="protenix_tiny_default_v0.5.0")
    parser.add_argument("--cycles", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=Path, nargs="+", help="do not run, read these")
    parser.add_argument("--plot", type=Path, metavar="PNG")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args, args.one)))
        return
    if args.runs:
        plot(read_runs(args.runs), args.plot or Path("growth.png"))
        return
    print(f"{args.model}, {args.cycles} cycles, {args.steps} steps, {args.samples} samples, "
          f"{MSA_ROWS} MSA rows; peak GB of the process")
    print(f"{'tokens':>6s}{'seconds':>9s}{'start':>8s}{'trunk':>8s}{'diffusion':>11s}"
          f"{'confidence':>12s}{'estimate':>10s}{'estimate/peak':>15s}")
    rows = []
    for tokens in args.tokens.split(","):
        command = [sys.executable, __file__, "--one", tokens, f"--model={args.model}",
                   f"--cycles={args.cycles}", f"--steps={args.steps}", f"--samples={args.samples}"]
        done = subprocess.run(command, env=environment("ours"), stdout=subprocess.PIPE, check=True)
        rows.append(row := json.loads(done.stdout.splitlines()[-1]))
        p = row["peaks_gb"]
        print(f"{tokens:>6s}{row['seconds']:9.1f}{p['start']:8.2f}{p['trunk']:8.2f}"
              f"{p['diffusion']:11.2f}{p['confidence']:12.2f}{row['estimate_gb']:10.2f}"
              f"{row['ratio']:15.2f}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
        if args.plot:
            plot(read_runs([args.json]), args.plot)


if __name__ == "__main__":
    main()
