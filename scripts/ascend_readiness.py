# SPDX-License-Identifier: Apache-2.0
"""Check that Ascend has every MindSpore call of the model, without a device.

    python scripts/ascend_readiness.py [--json FILE]

Predicts a short protein with the tiny variant (one cycle, two steps) and makes one training step,
in fp32 and in bf16, with attention by our op and by the vendor's, all emulated. Prints a table;
the exit code is 1 if a finding is neither fixed nor explained. Takes some minutes. The check
itself is tests/ascend_emu/readiness.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / d) for d in ("ascend_emu", "oracle"))]

import mindspore  # noqa: E402
import prediction_replay as replay  # noqa: E402
import training_replay as replay_train  # noqa: E402
from prediction_recording import Recording  # noqa: E402
from readiness import Check, named_in_sources, table  # noqa: E402
from training_recording import RecordedStep  # noqa: E402

import protenix_ms  # noqa: E402
from protenix_ms.runtime.draws import SeededDraws  # noqa: E402
from protenix_ms.train.optimiser import (  # noqa: E402
    Adam,
    MovingAverage,
    clipping,
    total_norm,
)

TINY = "protenix_tiny_default_v0.5.0"
RUNS = (("fp32", None), ("bf16", None), ("bf16", "the op is not built"))
RECORDED = ROOT / "tests" / "golden" / "tiny"


def short_prediction():
    """Return a function that predicts with the tiny variant at full width."""
    short = {"model.N_cycle": 1, "sample_diffusion.N_step": 2, "sample_diffusion.N_sample": 1}
    model = protenix_ms.load(TINY, random_weights=0, overrides=short)
    job = protenix_ms.read_jobs(ROOT / "configs" / "examples" / "trp_cage.json")[0]
    return lambda: protenix_ms.predict(model, job)


def recorded_prediction():
    """Return a function that predicts with the largest graph, narrow: alignments, templates."""
    recording = Recording.read(RECORDED / "protenix_base_default_v1.0.0_msa")
    recording.config.model.N_cycle, recording.config.sample_diffusion.N_step = 1, 2
    model = replay.build(recording)
    return lambda: model.predict(recording.features, SeededDraws(0, 0))


def training_step():
    """Return a function that makes a step: loss, gradients, clipping, Adam, moving average."""
    recording = RecordedStep.read(RECORDED / "train")
    model = replay_train.build(recording)
    parameters = {p.name: p for p in model.get_parameters()}

    def step() -> None:
        result, _ = replay_train.run(recording, model)
        clip = clipping(total_norm(result.gradients), 10.0)
        Adam(parameters, recording.training.adam).update(
            result.gradients, lambda name: 1e-3, clip=clip)
        MovingAverage(parameters, 0.99).update()

    return step


def main() -> int:
    """Run all works under the check and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    args = parser.parse_args()
    mindspore.set_device("CPU")
    mindspore.runtime.launch_blocking()
    check = Check()
    works = (short_prediction(), recorded_prediction(), training_step())
    for dtype, obstacle in RUNS:
        for work in works:
            with check.run(dtype, obstacle):
                work()
    rows = check.rows(named_in_sources(ROOT / "protenix_ms"))
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=1), "utf-8")
    left = [row.name for row in rows if row.open]
    print(f"{len(rows)} rows, {len(left)} unexplained {left or ''}")
    return int(bool(left))


if __name__ == "__main__":
    sys.exit(main())
