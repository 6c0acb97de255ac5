# SPDX-License-Identifier: Apache-2.0
"""Compiled transformer blocks (`--jit`) beside the plain form, in one process.

    python scripts/bench/jit.py --tokens 109 --steps 200 --json jit.json

A whole prediction of one sample, plain and compiled in turns: compile time, first and median
denoising step, every stage. Then both stacks over a range of lengths, with and without buckets:
compilations and time. CPU seconds stand beside wall seconds, which a busy machine stretches.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sides import MSA_ROWS, make_features

from protenix_ms.cli import launch

WARM_UP = 16  # tokens

Clock = tuple[float, float]  # wall, CPU


def clock() -> Clock:
    return time.perf_counter(), time.process_time()


def since(start: Clock) -> Clock:
    return tuple(b - a for a, b in zip(start, clock()))


@contextmanager
def counted() -> Iterator[list[Clock]]:
    """Seconds of every compilation in the block, in a list."""
    from protenix_ms.runtime.compiled import CompiledBlocks

    plain, found = CompiledBlocks._compile, []

    def timed(self: CompiledBlocks, *arguments: object) -> object:
        start = clock()
        graph = plain(self, *arguments)
        found.append(since(start))
        return graph

    CompiledBlocks._compile = timed
    try:
        yield found
    finally:
        CompiledBlocks._compile = plain


def total(times: list[Clock]) -> Clock:
    return tuple(map(sum, zip(*times))) if times else (0.0, 0.0)


def predicted(model: object, features: dict, jit: bool) -> tuple[dict, object]:
    """One prediction: where its time went, and its coordinates."""
    from protenix_ms.runtime.draws import SeededDraws
    from protenix_ms.runtime.policy import Policy, using

    marks: dict[str, list[Clock]] = {"start": [clock()], "recycle": [], "step": [], "sample": []}

    def progress(stage: str, _done: int, _total: int) -> None:
        marks[stage].append(clock())

    with using(Policy(jit=jit)), counted() as compiled:
        result = model.predict(features, SeededDraws(1), progress)
    steps = [tuple(b - a for a, b in zip(*pair))
             for pair in zip([marks["recycle"][-1], *marks["step"]], marks["step"])]
    return {
        "compilations": len(compiled), "compile": total(compiled), "first_step": steps[0],
        "step": tuple(map(statistics.median, zip(*steps[1:]))),
        "trunk": tuple(b - a for a, b in zip(marks["start"][0], marks["recycle"][-1])),
        "diffusion": total(steps),
        "confidence": tuple(b - a for a, b in zip(marks["step"][-1], marks["sample"][-1])),
        "whole": tuple(b - a for a, b in zip(marks["start"][0], marks["sample"][-1])),
    }, result.coordinates


def prediction(args: argparse.Namespace) -> dict:
    """The first prediction of each form, and the medians of those after it."""
    import numpy as np

    from protenix_ms.config import get_config
    from protenix_ms.model.protenix import Protenix
    from protenix_ms.model.weights import load_weights, shapes_of
    from protenix_ms.predict.weights import Weights

    words = {"sample_diffusion.N_sample": 1, "mc_dropout_apply_rate": 0.0,
             "sample_diffusion.N_step": args.steps, "model.msa_module.sample_lower_bound": MSA_ROWS}
    if args.cycles:
        words["model.N_cycle"] = args.cycles
    config = get_config(args.model, words)
    model = Protenix(config)
    load_weights(model, Weights(random_seed=0).arrays(shapes_of(model)))
    model.set_train(False)
    config.sample_diffusion.N_step = 2
    predicted(model, make_features(WARM_UP), False)
    config.sample_diffusion.N_step = args.steps
    features = make_features(args.tokens)
    runs: dict[str, list[dict]] = {"plain": [], "jit": []}
    coordinates = {}
    for _ in range(args.repeats + 1):
        for name, found in runs.items():
            row, coordinates[name] = predicted(model, features, name == "jit")
            found.append(row)
    plain, compiled = coordinates["plain"], coordinates["jit"]
    return {
        "first": {name: found[0] for name, found in runs.items()},
        "after": {name: _medians(found[1:]) for name, found in runs.items()},
        "difference": float(np.abs(plain - compiled).max() / np.abs(plain).max()),
    }


def _medians(rows: list[dict]) -> dict:
    return {key: tuple(map(statistics.median, zip(*(row[key] for row in rows))))
            for key, value in rows[0].items() if isinstance(value, tuple)}


def stacks(args: argparse.Namespace) -> Callable[[int], None]:
    """Both stacks of the model, run once on random representations of some length."""
    import numpy as np
    from mindspore import Tensor

    from protenix_ms.config import get_config
    from protenix_ms.model.diffusion_transformer import DiffusionTransformer
    from protenix_ms.model.pairformer import PairformerStack

    m = get_config(args.model).model
    p, d = m.pairformer, m.diffusion_module
    pairformer = PairformerStack(p.n_blocks, p.c_z, p.c_s, p.n_heads, p.hidden_scale_up)
    diffusion = DiffusionTransformer(d.c_token, d.c_s, d.c_z, **d.transformer)
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Tensor:
        return Tensor.from_numpy(rng.standard_normal(shape, np.float32))

    def run(n: int) -> None:
        s, z = pairformer.set_train(False)(normal(n, p.c_s), normal(n, n, p.c_z))
        biases = diffusion.set_train(False).pair_biases(z)
        diffusion(normal(1, n, d.c_token), normal(1, n, d.c_s), biases).asnumpy()

    return run


def lengths(args: argparse.Namespace) -> dict[str, dict]:
    """Every length of the range once: plain, one graph per length, one per bucket."""
    from protenix_ms.runtime.policy import Policy, using

    first, last = map(int, args.lengths.split("-"))
    rows = {}
    for name, policy in {"plain": Policy(), "exact": Policy(jit=True),
                         "buckets": Policy(jit=True, buckets=True)}.items():
        run = stacks(args)
        with using(policy), counted() as compiled:
            run(WARM_UP)
            compiled.clear()
            start = clock()
            for n in range(first, last + 1):
                run(n)
            rows[name] = {"compilations": len(compiled), "compile": total(compiled),
                          "whole": since(start)}
    return rows


def show(found: dict, args: argparse.Namespace) -> None:
    def line(name: str, *values: Clock) -> None:
        print(f"{name:28s}" + "".join(f"{wall:12.3f}{cpu:9.3f}" for wall, cpu in values))

    print(f"{args.model}, {args.tokens} tokens, {args.steps} steps, 1 sample; "
          f"load {os.getloadavg()[0]:.1f}; seconds")
    for part, title in (("first", "first prediction"), ("after", "after it, median")):
        print(f"{title:28s}{'plain wall':>12s}{'CPU':>9s}{'jit wall':>12s}{'CPU':>9s}")
        for key in ("compile", "first_step", "step", "trunk", "diffusion", "confidence", "whole"):
            line(f"  {key.replace('_', ' ')}", *(found[part][side][key] for side in
                                                 ("plain", "jit")))
    print(f"compilations {found['first']['jit']['compilations']}, difference of coordinates "
          f"{found['difference']:.0e}")
    print(f"{f'lengths {args.lengths}, each once':28s}{'wall':>12s}{'CPU':>9s}"
          f"{'compile wall':>12s}{'CPU':>9s}  compilations")
    for name, row in found["lengths"].items():
        whole, compiling = row["whole"], row["compile"]
        print(f"  {name:26s}{whole[0]:12.3f}{whole[1]:9.3f}{compiling[0]:12.3f}"
              f"{compiling[1]:9.3f}  {row['compilations']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=109)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--cycles", type=int, help="default: the model's")
    parser.add_argument("--model", default="protenix_tiny_default_v0.5.0")
    parser.add_argument("--lengths", default="100-128", metavar="FIRST-LAST")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    launch.configure("CPU")
    found = prediction(args) | {"lengths": lengths(args)}
    show(found, args)
    if args.json:
        record = {"settings": vars(args), "load": os.getloadavg()} | found
        args.json.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    launch.relaunch()
    main()
