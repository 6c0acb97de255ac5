# SPDX-License-Identifier: Apache-2.0
"""Measure time and peak memory of a prediction by size and stage, beside the estimate."""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path

from inputs import MSA_ROWS, add_sampling, make_features, our_model, sampling_settings
from measure import answer, child_command, environment, forget_peak
from measure import memory as read_memory

STAGES = {"recycle": "trunk", "step": "diffusion", "sample": "confidence"}


def memory(args: argparse.Namespace) -> list[dict]:
    """Measure peak memory of predictions, stage by stage, every size in its own process.

    The peak is the whole process's, weights and program included, as the command estimates it.
    `--runs FILE...` measures nothing and plots records of this workload and of `long`.
    """
    if args.serve:
        answer(measure_one(args))
        return []
    rows = [row for file in args.runs for row in json.loads(file.read_text())["rows"]]
    for tokens in [] if args.runs else args.tokens.split(","):
        done = subprocess.run(child_command("ours", tokens=tokens), env=environment("ours"),
                              stdout=subprocess.PIPE, check=True)
        rows += json.loads(done.stdout.splitlines()[-1])
    if args.plot:
        plot([row for row in rows if row["work"] == "whole"], args.plot)
    return rows


def add_memory(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `memory`."""
    add_sampling(parser, "64,128,256,512", cycles=1, steps=2, samples=1)
    parser.add_argument("--runs", type=Path, nargs="+", default=[], metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="PNG")


def measure_one(args: argparse.Namespace) -> list[dict]:
    """Run one prediction; return a row per stage and one for the whole."""
    from protenix_ms.predict.memory import Size, estimate_bytes
    from protenix_ms.runtime.draws import SeededDraws

    tokens = int(args.tokens)
    model, features = our_model(args.model, sampling_settings(args)), make_features(tokens)
    size = Size(tokens, len(features["atom_to_token_idx"]), MSA_ROWS, args.samples)
    peaks = {"start": read_memory("VmHWM"), **dict.fromkeys(STAGES.values(), 0.0)}
    forget_peak()

    def progress(stage: str, done: int, total: int) -> None:
        name = STAGES[stage]
        peaks[name] = max(peaks[name], read_memory("VmHWM"))
        forget_peak()

    start = time.perf_counter()
    model.predict(features, SeededDraws(1), progress)
    whole = {"seconds": time.perf_counter() - start, "memory_gb": max(peaks.values()),
             "atoms": size.atoms, "estimate_gb": estimate_bytes(model.config, size) / 1e9}
    place = {"tokens": tokens, "side": "ours"}
    return [*({"work": stage, **place, "memory_gb": peak} for stage, peak in peaks.items()),
            {"work": "whole", **place, **whole}]


def plot(rows: list[dict], file: Path) -> None:
    """Draw seconds and peak memory by tokens, with what cubes and squares would be."""
    from matplotlib.figure import Figure

    rows = sorted(rows, key=lambda row: row["tokens"])
    tokens = [row["tokens"] for row in rows]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots(1, 2)
    axes[1].loglog(tokens, [row["estimate_gb"] for row in rows], "x--", color="C1",
                   label="estimate")
    looks = (("seconds", "seconds", 3, "time of a prediction"),
             ("memory_gb", "GB", 2, "peak memory of the process"))
    for axis, (key, unit, power, title) in zip(axes, looks, strict=True):
        axis.loglog(tokens, [row[key] for row in rows], "o-", label="measured")
        guide = [rows[-1][key] * (n / tokens[-1]) ** power for n in tokens]
        axis.loglog(tokens, guide, ":", color="grey", label=f"tokens to the power of {power}")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
        axis.set(xlabel="tokens", ylabel=unit, xticks=tokens, xticklabels=tokens, title=title)
        axis.set_ylim(bottom=min(row[key] for row in rows) / 2)
        axis.legend()
    figure.savefig(file, dpi=130)


WORKLOADS = {"memory": (memory, add_memory)}
