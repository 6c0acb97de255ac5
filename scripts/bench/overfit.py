# SPDX-License-Identifier: Apache-2.0
"""Learn eight crops from scratch with a small model, and sample them from noise."""

from __future__ import annotations

import argparse
import gc
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from inputs import DEPOSITS
from matplotlib.figure import Figure

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.cli import launch
from protenix_ms.config import get_config
from protenix_ms.config.training import training_config
from protenix_ms.data.crop import CropOptions, EmptyCropError
from protenix_ms.data.dataset import DrawnExample
from protenix_ms.data.entry import read_entry
from protenix_ms.data.example import ExampleOptions, TrainingExample, training_example
from protenix_ms.data.symmetry import Symmetries
from protenix_ms.errors import InputError, OutputError
from protenix_ms.geometry.rigid import superpose
from protenix_ms.io.atomic import write_bytes

# Proteins, one of two chains, and a polymerase with its DNA.
ENTRIES = ("1aki", "1ay7", "1k1a", "1k6p", "1mol", "3o5r", "5ugo", "7zzx")
TOKENS, GOAL = 64, 0.80
WIDTHS = {"c_s": 128, "c_z": 64, "c_token": 128, "c_s_inputs": 193, "c_atom": 64}
CHOICE = "median"  # of the samples that are judged
EVERY = 20  # updates between two lines of progress
_SEEDS = 100


def configuration(updates: int, widths: dict | None = None):
    """Configure a small model of the `tiny` family, and its training."""
    config = get_config("protenix_tiny_default_v0.5.0", shared=widths or WIDTHS)
    m, d = config.model, config.model.diffusion_module
    m.N_cycle = m.input_embedder.n_blocks = m.confidence_head.n_blocks = 1
    m.msa_module.n_blocks, config.use_msa, config.mc_dropout_apply_rate = 0, False, 0.0
    m.pairformer.update(n_blocks=1, n_heads=4, dropout=0.0)
    d.c_token = 2 * config.widths.c_token
    d.transformer.update(n_blocks=4, n_heads=8)
    # The base models' sampler adds noise at every step; without, as tiny's, early mistakes stay.
    config.sample_diffusion.update(N_step=50, N_sample=3, N_step_mini_rollout=0, gamma0=0.8,
                                   step_scale_eta=1.5)
    with config.unlocked():
        config.training = training_config()
    config.training.update({
        "lr": 5e-3, "lr_scheduler": "cosine_annealing", "warmup_steps": 60,
        "min_lr_ratio": 0.03, "max_steps": updates, "ema_decay": 0.99,
        "diffusion_batch_size": 16, "diffusion_chunk_size": 16, "train_crop_size": TOKENS,
        "checkpoint_interval": 100, "keep_checkpoints": 2})
    # With upstream's weight of the distogram, 0.03, the trunk knows no distances for too long.
    config.training.loss.weight.update(alpha_distogram=1.0, smooth_lddt=2.0)
    config.training.train_noise_sampler.update(p_mean=-0.3, p_std=1.2)  # less time on the finest
    config.training.evaluation.update(interval=340, samples=0, steps=0)
    return config


def crop(folder: Path, name: str, ccd: ComponentDictionary) -> DrawnExample:
    """Cut the first contiguous crop of an entry, by seed, that holds `TOKENS` tokens.

    Raises:
        InputError: there is none.
    """
    entry = read_entry(folder / f"{name}.cif.gz", ccd)
    options = ExampleOptions(CropOptions(TOKENS, (1.0, 0.0, 0.0)), use_msa=False)
    chains, symmetries = [str(entry.atoms.chain_id[0])], Symmetries(ccd)
    for seed in range(_SEEDS):
        rng = np.random.default_rng(seed)
        try:
            example = training_example(entry, chains, rng, options, symmetries)
        except EmptyCropError:
            continue
        if len(example.tokens) == TOKENS:
            return DrawnExample({"pdb_id": name}, example)
    raise InputError(f"no crop of {TOKENS} tokens", where=name, fix="take a larger entry")


def new_trainer(config, chosen: list[DrawnExample], output: Path, ranks: object):
    """Build a trainer whose n-th round sees every crop once, in an order that follows from n."""
    from protenix_ms.model.protenix import Protenix
    from protenix_ms.model.weights import initialise
    from protenix_ms.train.evaluation import Evaluation
    from protenix_ms.train.loop import Trainer

    def examples(start: int) -> Iterator[TrainingExample]:
        for position in count(start * ranks.count + ranks.rank, ranks.count):
            turn, place = divmod(position, len(chosen))
            order = np.random.default_rng(turn).permutation(len(chosen))
            yield chosen[order[place]].example

    model = Protenix(config)
    initialise(model, np.random.default_rng(config.training.seed))
    for parameter in model.confidence_head.get_parameters():
        parameter.requires_grad = False  # no mini-rollout, hence nothing to judge
    judge = Evaluation(chosen, config.training.evaluation)
    return Trainer(model, config.training, examples, output, ranks, judge)


@dataclass(frozen=True)
class Overlay:
    """A sample laid on the known structure, as traces of centre atoms.

    Attributes:
        name: of the entry.
        lddt: of the sample, 0-1.
        known, sampled: angstrom.
        breaks: places where a new stretch of neighbouring residues begins.
    """

    name: str
    lddt: float
    known: np.ndarray
    sampled: np.ndarray
    breaks: np.ndarray


def overlay(model, drawn: DrawnExample, place: int) -> Overlay:
    """Sample one structure from noise and superpose it on the known one."""
    from protenix_ms.metrics.permutation import permute_labels
    from protenix_ms.metrics.quality import KnownComplex, judge
    from protenix_ms.runtime.draws import SeededDraws

    e, draws = drawn.example, SeededDraws(place)
    x = model.predict(e.features, draws).coordinates[0]
    known = permute_labels(x, e.features, (e.labels, e.labels_full), e.permutations, draws)
    score = judge(x, KnownComplex.from_features(e.features, known.x, known.resolved)).lddt
    fitted = superpose(x, known.x, known.resolved.astype(np.float64))
    centre = np.flatnonzero(np.asarray(e.features["pae_rep_atom_mask"]) & known.resolved)
    chain, residue = e.atoms.chain_id[centre], e.atoms.res_id[centre]
    apart = (chain[1:] != chain[:-1]) | (np.abs(np.diff(residue)) != 1)
    return Overlay(drawn.row["pdb_id"], score, known.x[centre], fitted[centre],
                   np.flatnonzero(apart) + 1)


def structures_png(overlays: list[Overlay]) -> bytes:
    """Draw known and sampled traces of all crops; the same bytes for the same traces."""
    figure = Figure(figsize=(13, 7), layout="constrained")
    for place, one in enumerate(overlays):
        axes = figure.add_subplot(2, -(-len(overlays) // 2), place + 1, projection="3d")
        middle = one.known.mean(0)
        for x, colour, width in ((one.known, "#9a9a9a", 2.6), (one.sampled, "#1f6fb4", 1.3)):
            for part in np.split(x - middle, one.breaks):
                axes.plot(*part.T, color=colour, linewidth=width, marker="o", markersize=1)
        axes.set_title(f"{one.name}: lDDT {one.lddt:.2f}", fontsize=11)
        axes.set_box_aspect(np.ptp(one.known, axis=0), zoom=1.25)
        axes.set_axis_off()
    figure.suptitle("CA and C1' traces: known structure (grey), sample from noise (blue)")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def result_rows(trainer) -> list[dict]:
    """Return the last lDDT of every crop, and of all with the size of the run."""
    from protenix_ms.train.record import EVALUATION, LOG

    judged = [line for line in trainer.record.lines(EVALUATION) if "failed" not in line]
    last = {line["entry"]: line["lddt"][CHOICE] for line in judged}
    rows = [{"work": name, "tokens": TOKENS, "side": "ours", "lddt": x} for name, x in last.items()]
    if "all" in last:
        rows[list(last).index("all")] |= {
            "goal": GOAL, "updates": trainer.step, "processes": trainer.ranks.count,
            "seconds": sum(line["seconds"] for line in trainer.record.lines(LOG)),
            "parameters": sum(p.size for p in trainer.differentiate.parameters)}
    return rows


def overfit(args: argparse.Namespace) -> list[dict] | None:
    """Learn eight crops from scratch with a small model, then sample them from noise.

    A process keeps to one core; two of them learn from two crops at every update. Training,
    evaluation and checkpoints are the package's own. Writes beside them `structures.png`: every
    crop beside what the trained model samples. `--resume` of a finished run judges it once more.

        msrun --worker_num=2 --local_worker_num=2 --join=True \\
            scripts/bench.py overfit --output overfit
    """
    # Operators this small gain nothing from a second core, whose threads would wait by spinning.
    cores, place = sorted(os.sched_getaffinity(0)), int(os.environ.get("RANK_ID", "0"))
    os.sched_setaffinity(0, {cores[place % len(cores)]})
    if (args.output / "log.jsonl").exists() and not args.resume:
        raise OutputError("the folder holds a run", where=str(args.output), fix="add --resume")
    launch.configure("CPU")
    from protenix_ms.runtime.policy import Policy, using
    from protenix_ms.runtime.ranks import join

    ccd, config, ranks = ComponentDictionary.load(), configuration(args.updates), join()
    chosen = [crop(args.data, name, ccd) for name in ENTRIES]
    trainer = new_trainer(config, chosen, args.output, ranks)
    gc.freeze()  # what is there by now stays: Python need not look through it again and again
    start = trainer.step if trainer.resume() else 0

    def report(line: dict) -> None:
        if "entry" in line:
            print(f"  {line['entry']}: lDDT {line['lddt'][CHOICE]:.3f}", flush=True)
        elif (done := line["step"] + 1) % EVERY == 0:
            print(f"update {done} of {args.updates}: loss {line['loss']:.3f}", flush=True)

    with using(Policy()):
        if start == args.updates:  # a finished run is judged again
            trainer.evaluate(report)
        trainer.run(None if ranks.rank else report)
        if ranks.rank:
            return None
        with trainer.average.applied():
            model = trainer.model.set_train(False)
            overlays = [overlay(model, one, i) for i, one in enumerate(chosen)]
    write_bytes(args.output / "structures.png", structures_png(overlays))
    return result_rows(trainer)


def add_overfit(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `overfit`."""
    parser.add_argument("--data", type=Path, metavar="DIR", default=DEPOSITS,
                        help="mmCIF files (*.cif.gz) of the eight entries")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--updates", type=int, default=1700)
    parser.add_argument("--resume", action="store_true")


WORKLOADS = {"overfit": (overfit, add_overfit)}
