# SPDX-License-Identifier: Apache-2.0
"""A whole prediction beside PyTorch Protenix: the same weights, features and machine.

    python scripts/bench/predict.py --tokens 64,128 --json bench.json

How both sides are measured stands in sides.py. Needs upstream installed (scripts/test.sh does).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from sides import (
    MSA_ROWS,
    Work,
    alternate,
    fill,
    make_features,
    serve,
    show,
    torch_features,
    upstream_config,
)

make_features = lru_cache(1)(make_features)


def our_model(args: argparse.Namespace) -> object:
    """Our network with weights by rule."""
    import mindspore

    from protenix_ms.config import get_config
    from protenix_ms.model.protenix import Protenix
    from protenix_ms.model.weights import load_weights, shapes_of
    from protenix_ms.predict.weights import Weights

    mindspore.runtime.launch_blocking()
    settings = {"model.N_cycle": args.cycles, "sample_diffusion.N_sample": args.samples,
                "sample_diffusion.N_step": args.steps, "mc_dropout_apply_rate": 0.0,
                "model.msa_module.sample_lower_bound": MSA_ROWS}
    config = get_config(args.model, settings)
    model = Protenix(config)
    load_weights(model, Weights(random_seed=0).arrays(shapes_of(model)))
    return model.set_train(False)


def ours(args: argparse.Namespace, model: object = None) -> Work:
    """Our side: a whole prediction."""
    from protenix_ms.runtime.draws import SeededDraws

    model = model or our_model(args)

    def work(tokens: int) -> Callable[[], None]:
        features = make_features(tokens)

        def run() -> None:
            model.predict(features, SeededDraws(1))

        return run

    return work


def upstream(args: argparse.Namespace) -> Work:
    """Upstream's network with the same weights, kernels set to "torch"."""
    config = upstream_config(args.model, {
        "model.N_cycle": args.cycles, "sample_diffusion.N_sample": args.samples,
        "sample_diffusion.N_step": args.steps, "data.msa.min_size.test": MSA_ROWS})
    import torch
    from protenix.model.protenix import Protenix

    model = fill(Protenix(config))

    def work(tokens: int) -> Callable[[], None]:
        features = torch_features(make_features(tokens))

        def run() -> None:
            with torch.no_grad():
                model(input_feature_dict=features, label_full_dict=None, label_dict=None,
                      mode="inference", mc_dropout_apply_rate=0)

        return run

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", default="64,128")
    parser.add_argument("--model", default="protenix_tiny_default_v0.5.0")
    parser.add_argument("--cycles", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", choices=("ours", "upstream"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(lambda: {"ours": ours, "upstream": upstream}[args.serve](args))
        return
    passed = ("model", "cycles", "steps", "samples")
    options = [f"--{name}={getattr(args, name)}" for name in passed]
    rows = [alternate(__file__, options, int(n), args.repeats) for n in args.tokens.split(",")]
    show(rows, f"{args.model}, {args.cycles} cycles, {args.steps} steps, {args.samples} samples, "
         f"{MSA_ROWS} MSA rows", vars(args), args.json)


if __name__ == "__main__":
    main()
