# SPDX-License-Identifier: Apache-2.0
"""Measure training steps beside PyTorch Protenix, and by what is recomputed."""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import inputs
import measure
import numpy as np

KEPT, RECOMPUTED = WORKS = ("kept", "recomputed")
TERMS = ("smooth_lddt", "bond", "mse", "distogram", "plddt", "pde", "resolved", "pae")
SETTINGS = {"model.N_cycle": 1, "sample_diffusion.N_step_mini_rollout": 20}  # of both sides
SEED = 1
NONE, ALL = "none", "all"


def train(args: argparse.Namespace) -> list[dict]:
    """Measure a training step: a recycle, mini-rollout, permutation, losses, gradients, Adam.

    `kept`: no block is computed twice (upstream: `blocks_per_ckpt` null; ours computes smooth lDDT
    by rows all the same). `recomputed`: what both sides do by default. Either side draws its own
    noise and masks, so loss terms are of one order, not equal. Both sides live at once: `kept` at
    128 tokens needs more than 24 GB. Memory counts above weights and Adam's moments.
    """
    if args.serve:
        measure.serve({"ours": our_step, "upstream": upstream_step}[args.serve](args), small=None)
        return []
    return [row for tokens in map(int, args.tokens.split(",")) for work in args.work.split(",")
            for row in measure.alternate(("ours", "upstream"), work, tokens, args.repeats)]


def add_train(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `train`."""
    add_step(parser, "64,128")
    parser.add_argument("--work", default=",".join(WORKS), help=f"any of {', '.join(WORKS)}")
    parser.add_argument("--repeats", type=int, default=5)


def add_step(parser: argparse.ArgumentParser, tokens: str) -> None:
    """Declare the options of one training step."""
    parser.add_argument("--cif", type=Path, default=inputs.DEPOSITS / "1igy.cif.gz",
                        help="the deposited structure that examples are cut from")
    parser.add_argument("--tokens", default=tokens)
    parser.add_argument("--samples", type=int, default=4, help="diffusion batch")
    parser.add_argument("--model", default=inputs.TINY)


def zeros(shape: tuple[int, ...]) -> np.ndarray:
    """Return zeros that take memory at once, which those of `np.zeros` do not."""
    return np.full(shape, 0.0, np.float32)


def learner(model_name: str, samples: int) -> tuple:
    """Build our step of a network with weights by rule, and its optimiser with moments."""
    import mindspore

    from protenix_ms.config.training import training_config
    from protenix_ms.train.optimiser import Adam
    from protenix_ms.train.step import TrainingStep

    training = training_config()
    training.diffusion_batch_size = samples
    model = inputs.our_model(model_name, {**SETTINGS, "mc_dropout_apply_rate": 0.4})
    step = TrainingStep(model.set_train(True), training)
    optimiser = Adam({p.name: p for p in step.parameters}, training.adam)
    for moments in (optimiser.first, optimiser.second):
        moments |= {p.name: mindspore.Tensor.from_numpy(zeros(p.shape)) for p in step.parameters}
    return step, optimiser


def our_step(args: argparse.Namespace) -> measure.Work:
    """Return our side: what the training loop does for an update of one example."""
    from protenix_ms.runtime.draws import SeededDraws
    from protenix_ms.runtime.policy import Policy, using
    from protenix_ms.train.optimiser import clipping, learning_rate, total_norm

    step, optimiser = learner(args.model, args.samples)
    training, example, runs = step.config, inputs.make_example(args.cif, int(args.tokens)), count()
    kinds = {kind for kind, on in training.recompute.items() if on}
    chosen = Policy(recompute=frozenset(() if args.work == KEPT else kinds))
    rate = learning_rate(1, training)

    def run() -> dict[str, float]:
        with using(chosen):
            result = step(example, 0, SeededDraws(SEED, next(runs)))
            norm = total_norm(result.gradients)
            optimiser.update(result.gradients, lambda name: rate,
                             clip=clipping(norm, training.grad_clip_norm))
        return {"loss": result.loss, **result.terms, "norm": norm}

    return lambda tokens: run  # of `args.tokens`: the example is there before memory is read


def upstream_step(args: argparse.Namespace) -> measure.Work:
    """Return upstream's side, as its training script drives it."""
    config = inputs.upstream_config(args.model, {
        **SETTINGS, "diffusion_batch_size": args.samples, "use_wandb": "false",
        "data.msa.min_size.train": inputs.MSA_ROWS, "data.msa.sample_cutoff.train": inputs.MSA_ROWS,
        "blocks_per_ckpt": "null" if args.work == KEPT else 1}, training=True)
    import torch
    from protenix.model.loss import ProtenixLoss
    from protenix.model.protenix import Protenix
    from protenix.utils.permutation.permutation import SymmetricPermutation

    torch.manual_seed(SEED)
    model = inputs.fill(Protenix(config)).train()
    criterion, permutation = ProtenixLoss(config), SymmetricPermutation(config)
    optimiser, example = torch_adam(config, model), inputs.make_example(args.cif, int(args.tokens))

    def work(tokens: int) -> Callable[[], dict[str, float]]:
        features, labels, full = (  # anew, it writes into them
            inputs.torch_features(group)
            for group in (example.features, example.labels, example.labels_full))
        features["atom_perm_list"] = [
            atom.tolist() for residue in example.permutations for atom in residue]

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


def torch_adam(config: object, model: object) -> object:
    """Build upstream's optimiser at our rate, with moments."""
    import torch
    from protenix.utils.training import get_optimizer

    from protenix_ms.config.training import training_config
    from protenix_ms.train.optimiser import learning_rate

    optimiser = get_optimizer(config, model, param_names=[""])
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(1, training_config())
    for parameter in model.parameters():
        if parameter.requires_grad:
            optimiser.state[parameter] = {"step": torch.tensor(0.0)} | {
                moment: torch.from_numpy(zeros(parameter.shape))
                for moment in ("exp_avg", "exp_avg_sq")}
    return optimiser


def recompute(args: argparse.Namespace) -> list[dict]:
    """Measure memory and time of a training step by what is recomputed: nothing, each kind, all.

    Every row is a process of its own. Memory is what the step adds to a process that holds weights
    and optimiser state.
    """
    if args.serve:
        measure.answer(measure_one(args, args.serve))
        return []
    from protenix_ms.runtime.recompute import KINDS

    rows = []
    for kind in args.kinds or (NONE, *KINDS, ALL):
        done = subprocess.run(measure.child_command(kind), env=measure.environment("ours"),
                              text=True, stdout=subprocess.PIPE)
        if done.returncode:  # -9: it needs more memory than is there
            print(f"{kind} ended with {done.returncode}")
            continue
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    return rows


def add_recompute(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `recompute`."""
    add_step(parser, "256")
    parser.add_argument("--kinds", nargs="*", help="rows of the table, all by default")


def measure_one(args: argparse.Namespace, kind: str) -> dict:
    """Run one step with one choice of what is recomputed."""
    from protenix_ms.runtime.draws import SeededDraws
    from protenix_ms.runtime.policy import Policy, using
    from protenix_ms.runtime.recompute import KINDS

    step, _optimiser = learner(args.model, args.samples)  # its moments are held during the step
    example = inputs.make_example(args.cif, int(args.tokens))
    kinds = {NONE: (), ALL: KINDS}.get(kind, (kind,))
    held = measure.memory("VmRSS")
    measure.forget_peak()
    start, cpu = time.perf_counter(), time.process_time()
    with using(Policy(recompute=frozenset(kinds))):
        result = step(example, 0, SeededDraws(SEED))
    return {"work": kind, "tokens": len(example.tokens), "side": "ours",
            "seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu,
            "memory_gb": measure.memory("VmHWM") - held, "process_gb": measure.memory("VmHWM"),
            "loss": result.loss}


WORKLOADS = {"train": (train, add_train), "recompute": (recompute, add_recompute)}
