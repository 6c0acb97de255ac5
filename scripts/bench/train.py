# SPDX-License-Identifier: Apache-2.0
"""A whole training step beside PyTorch Protenix: the same weights, example and machine.

    python scripts/bench/train.py --tokens 64,128 --json train.json

One recycle, mini-rollout, permutation of the labels, losses, backward pass, clipping and Adam's
update, in fp32 with dropout. Rows: "kept", where no block is computed twice (upstream:
`blocks_per_ckpt` null; ours: smooth lDDT by rows all the same, which computes nothing twice), and
"recomputed", what both sides' training does by default. Upstream has its training defaults
otherwise, kernels set to "torch". Either side draws its own noise and masks: the loss terms below
the table are of one order, not equal. Both sides live at once: "kept" at 128 tokens needs more
than 24 GB. How both sides are measured stands in sides.py; memory counts above weights and Adam's
moments. Needs upstream installed (scripts/test.sh does).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
from sides import (
    MSA_ROWS,
    SIDES,
    Work,
    alternate,
    fill,
    make_example,
    serve,
    show,
    structure_option,
    torch_features,
    upstream_config,
)

KEPT, RECOMPUTED = WORKS = ("kept", "recomputed")
TERMS = ("smooth_lddt", "bond", "mse", "distogram", "plddt", "pde", "resolved", "pae")
SETTINGS = {"model.N_cycle": 1, "sample_diffusion.N_step_mini_rollout": 20}  # of both sides
SEED = 1


def written_zeros(shape: tuple[int, ...]) -> np.ndarray:
    """Zeros that take memory at once, which those of `np.zeros` do not."""
    return np.full(shape, 0.0, np.float32)


def learner(model_name: str, samples: int) -> tuple:
    """Our step of a network with weights by rule, and its optimiser, whose moments are there."""
    import mindspore

    from protenix_ms.config import get_config
    from protenix_ms.config.training import training_config
    from protenix_ms.model.protenix import Protenix
    from protenix_ms.model.weights import load_weights, shapes_of
    from protenix_ms.predict.weights import Weights
    from protenix_ms.train.optimiser import Adam
    from protenix_ms.train.step import TrainingStep

    mindspore.runtime.launch_blocking()
    settings = {**SETTINGS, "model.msa_module.sample_lower_bound": MSA_ROWS}
    config, training = get_config(model_name, settings), training_config()
    training.diffusion_batch_size = samples
    model = Protenix(config)
    load_weights(model, Weights(random_seed=0).arrays(shapes_of(model)))
    step = TrainingStep(model.set_train(True), training)
    optimiser = Adam({p.name: p for p in step.parameters}, training.adam)
    for moments in (optimiser.first, optimiser.second):
        moments |= {p.name: mindspore.Tensor.from_numpy(written_zeros(p.shape))
                    for p in step.parameters}
    return step, optimiser


def ours(args: argparse.Namespace) -> Work:
    """Our side: what `train.loop` does for an update of one example."""
    from protenix_ms.runtime.draws import SeededDraws
    from protenix_ms.runtime.policy import Policy, using
    from protenix_ms.train.optimiser import clip
    from protenix_ms.train.schedule import learning_rate

    step, optimiser = learner(args.model, args.samples)
    training, example, runs = step.config, make_example(args.cif, int(args.tokens)), count()
    kinds = {kind for kind, on in training.recompute.items() if on}
    chosen = Policy(recompute=frozenset(kinds & {"smooth_lddt"} if args.work == KEPT else kinds))
    rate = learning_rate(1, training)

    def run() -> dict[str, float]:
        with using(chosen):
            result = step(example, 0, SeededDraws(SEED, next(runs)))
            gradients, norm = clip(result.gradients, training.grad_clip_norm)
            optimiser.update(gradients, lambda name: rate)
        return {"loss": result.loss, **result.terms, "norm": norm}

    return lambda tokens: run  # of `args.tokens`: the example is there before memory is read


def upstream_example(example: object) -> tuple[dict, dict, dict]:
    """An example of ours as upstream's features, labels and labels of the whole assembly."""
    features, labels, full = (
        torch_features(group) for group in (example.features, example.labels, example.labels_full))
    features["atom_perm_list"] = [
        atom.tolist() for residue in example.permutations for atom in residue]
    return features, labels, full


def torch_adam(config: object, model: object) -> object:
    """Upstream's optimiser at our rate, whose moments are there."""
    import torch
    from protenix.utils.training import get_optimizer

    from protenix_ms.config.training import training_config
    from protenix_ms.train.schedule import learning_rate

    optimiser = get_optimizer(config, model, param_names=[""])
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(1, training_config())
    for parameter in model.parameters():
        if parameter.requires_grad:
            optimiser.state[parameter] = {"step": torch.tensor(0.0)} | {
                moment: torch.from_numpy(written_zeros(parameter.shape))
                for moment in ("exp_avg", "exp_avg_sq")}
    return optimiser


def upstream(args: argparse.Namespace) -> Work:
    """Upstream's side, as its training script drives it."""
    config = upstream_config(args.model, {
        **SETTINGS, "diffusion_batch_size": args.samples, "use_wandb": "false",
        "data.msa.min_size.train": MSA_ROWS, "data.msa.sample_cutoff.train": MSA_ROWS,
        "blocks_per_ckpt": "null" if args.work == KEPT else 1}, training=True)
    import torch
    from protenix.model.loss import ProtenixLoss
    from protenix.model.protenix import Protenix
    from protenix.utils.permutation.permutation import SymmetricPermutation

    torch.manual_seed(SEED)
    model = fill(Protenix(config)).train()
    criterion, permutation = ProtenixLoss(config), SymmetricPermutation(config)
    optimiser, example = torch_adam(config, model), make_example(args.cif, int(args.tokens))

    def work(tokens: int) -> Callable[[], dict[str, float]]:
        features, labels, full = upstream_example(example)  # anew, it writes into them

        def run() -> dict[str, float]:
            predicted, known, _ = model(
                input_feature_dict=features, label_dict=labels, label_full_dict=full,
                mode="train", current_step=0, symmetric_permutation=permutation)
            loss, terms = criterion(features, predicted, known, mode="train")
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip_norm)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            named = {name: terms[f"{name}_loss"].item() for name in TERMS}
            return {"loss": loss.item(), **named, "norm": norm.item()}

        return run

    return work


def show_numbers(rows: list[dict]) -> None:
    """Loss, its terms without weights, and the norm of the gradient, of both sides."""
    names = ("loss", *TERMS, "norm")
    print("\nmedians of loss, terms and gradient norm; every side draws its own noise")
    print(f"{'work':12s}{'tokens':>7s}  {'side':9s}" + "".join(f"{n:>12s}" for n in names))
    for row in rows:
        for side in SIDES:
            numbers = "".join(f"{row[f'{side}_numbers'][name]:12.4g}" for name in names)
            print(f"{row['work']:12s}{row['tokens']:7d}  {side:9s}{numbers}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    structure_option(parser)
    parser.add_argument("--work", default=",".join(WORKS), help=f"any of {', '.join(WORKS)}")
    parser.add_argument("--tokens", default="64,128")
    parser.add_argument("--samples", type=int, default=4, help="diffusion batch")
    parser.add_argument("--model", default="protenix_tiny_default_v0.5.0")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(lambda: {"ours": ours, "upstream": upstream}[args.serve](args), small=None)
        return
    rows = []
    for tokens in map(int, args.tokens.split(",")):
        example = make_example(args.cif, tokens)
        size = {"tokens": len(example.tokens), "atoms": len(example.labels["coordinate"])}
        for work in args.work.split(","):
            options = [f"--{name}={getattr(args, name)}" for name in ("cif", "samples", "model")]
            options += [f"--work={work}", f"--tokens={tokens}"]
            rows.append(alternate(__file__, options, tokens, args.repeats) | size | {"work": work})
    first = ", ".join([args.model, f"{args.samples} samples", f"{MSA_ROWS} MSA rows",
                       *(f"{name} {value}" for name, value in SETTINGS.items())])
    show(rows, first, vars(args), args.json, held="weights and optimiser state")
    show_numbers(rows)


if __name__ == "__main__":
    main()
