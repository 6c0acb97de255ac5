# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms train`: prepared data in, checkpoints out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ml_collections import ConfigDict

from protenix_ms.cli import launch
from protenix_ms.cli.configuration import load_config
from protenix_ms.config.training import STAGES, require_usable, stage_config
from protenix_ms.errors import ConfigError, InputError, OutputError
from protenix_ms.job import require_seed
from protenix_ms.predict.settings import default_options, require_device, require_embeddings
from protenix_ms.predict.weights import Weights, find_weights
from protenix_ms.train.record import LOG, sole_training

DEFAULT_MODEL = "protenix_base_default_v1.0.0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = ("Train from scratch, or from a checkpoint with --init. A run stopped by "
                          "Ctrl-C or SIGTERM, or killed, goes on with --resume.")
    add = parser.add_argument
    add("--data", type=Path, action="append", required=True, metavar="DIR",
        help="what prepare-data wrote; may be given more than once")
    add("--evaluate", type=Path, metavar="DIR",
        help="prepared data held out, judged every training.evaluation.interval updates")
    add("--output", type=Path, required=True, metavar="DIR", help="folder of the run")
    add("--model", metavar="NAME", help=f"default {DEFAULT_MODEL}")
    add("--stage", choices=tuple(STAGES), default="stage1",
        help="without --config (default %(default)s)")
    add("--config", metavar="FILE[:ARG]", help="e.g. configs/train.py:stage1")
    add("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="any setting, e.g. training.lr=1e-3")
    add("--init", type=Path, metavar="FILE", help="weights to start from")
    add("--resume", action="store_true", help="go on from the latest whole checkpoint of --output")
    add("--loaders", type=int, default=1, metavar="N", help="processes that make examples")
    add("--device", choices=("CPU", "Ascend"), default="CPU", help="default %(default)s")
    add("--dtype", choices=("fp32", "bf16"), default="fp32",
        help="bf16 (Ascend): products in bf16 beside fp32 islands; weights and losses stay fp32")
    add("--deterministic", action="store_true",
        help="the same bits on Ascend too, slower; on CPU every run is")
    add("--ignore-memory", action="store_true", help="start a training that will hardly fit")
    add("--quiet", action="store_true", help="only errors")


def run(args: argparse.Namespace) -> int:
    """Check everything, then train; 0 done or stopped with a checkpoint.

    Raises:
        ProtenixError: nothing could start, or the weights or ten updates were not finite.
    """
    config = configuration(args)
    if args.loaders < 0:
        raise InputError(f"--loaders {args.loaders}", fix="give 0 or more")
    require_device(args.device, args.dtype)
    require_embeddings(config)
    weights = find_weights(config.model_name, args.init, None) if args.init else None
    with ExitStack() as held:
        if int(os.environ.get("MS_WORKER_NUM", "1")) < 2:  # else `_run_alone` does, after they met
            held.enter_context(sole_training(args.output))
        return _run_alone(args, config, weights, held)


def _run_alone(
    args: argparse.Namespace, config: ConfigDict, weights: Weights | None, held: ExitStack
) -> int:
    """The run in a folder that is ours.

    Args:
        held: has the folder's lock; of several processes the first takes it when they have met.
    """
    if not args.resume and any((args.output / name).exists() for name in (LOG, "checkpoints")):
        raise OutputError("the folder holds a run", where=str(args.output),
                          fix="add --resume, or choose another --output")
    check_data([*args.data, *([args.evaluate] if args.evaluate else [])])
    launch.configure(args.device)
    if args.deterministic:
        launch.same_bits()
    from protenix_ms.runtime.policy import Policy, using
    from protenix_ms.runtime.ranks import join

    kinds = frozenset(name for name, on in config.training.recompute.items() if on)
    with using(Policy(device=args.device, dtype=args.dtype, recompute=kinds)):
        ranks = join()
        if ranks.count > 1 and not ranks.rank:
            held.enter_context(sole_training(args.output))
        expected = budget_text(args, config)
        trainer = _trainer(args, config, weights, ranks)
        for reason in trainer.passed_over:
            print(f"a checkpoint is passed over and set aside: {reason}", file=sys.stderr)
        if not args.quiet:
            print(f"{config.model_name}: from step {trainer.step} to {config.training.max_steps}, "
                  f"{expected}", flush=True)
        trainer.run(None if args.quiet else _print_line)
        if not args.quiet and trainer.step < config.training.max_steps:
            print(f"stopped after step {trainer.step} with a checkpoint; --resume goes on from it")
    return 0


def budget_text(args: argparse.Namespace, config: ConfigDict) -> str:
    """What the training will take, in words.

    Raises:
        ResourceError: it does not fit, and nobody said to ignore that.
    """
    from protenix_ms.data.preparation import read_alignments
    from protenix_ms.train import budget

    aligned = config.use_msa and any(read_alignments(folder) for folder in args.data)
    most = min(config.training.data.msa_rows, config.model.msa_module.sample_cutoff)
    expected = budget.estimate(config, most if aligned else 1)
    if not args.ignore_memory:
        budget.require_memory(expected, config.model_name)
    return (f"about {expected.memory / 1e9:.1f} GB of memory and "
            f"{max(expected.seconds, 0.1):.1f} s per update")


def configuration(args: argparse.Namespace) -> ConfigDict:
    """The model's tree with `training`, overridden.

    Raises:
        ConfigError: unknown variant, stage or key; a file without `training`; a setting that
            no training can work with.
    """
    if args.config:
        config = load_config(args.model, args.config, (), {})
        if "training" not in config:
            raise ConfigError("the configuration has no part `training`", where=args.config,
                              fix="start from configs/train.py")
    else:
        config = load_config(args.model or DEFAULT_MODEL, None, (), {})
        with config.unlocked():
            config.training = stage_config(args.stage)
    config = load_config_words(config, args.overrides)
    require_seed(config.training.seed, "training.seed")
    require_usable(config.training)
    return config


def load_config_words(config: ConfigDict, overrides: list[str]) -> ConfigDict:
    """`config` with ``KEY=VALUE`` words applied. Raises ConfigError."""
    from protenix_ms.config import apply_overrides

    for word in overrides:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"expected KEY=VALUE, got {word!r}", where="--set",
                              fix="for example --set training.lr=1e-3")
        apply_overrides(config, {key: value})
    return config


def flag_words(arguments: list[str]) -> list[str]:
    """``--config.KEY=VALUE``, as ml_collections' users write it, becomes ``--set KEY=VALUE``."""
    words = []
    for word in arguments:
        key = word.removeprefix("--config.")
        words += [word] if key == word else ["--set", key]
    return words


def check_data(folders: list[Path]) -> None:
    """Raise InputError for a folder without prepared data."""
    from protenix_ms.data.dataset import DataOptions, Source, TrainingData

    TrainingData(DataOptions(tuple(Source(folder) for folder in folders)))


def source(
    args: argparse.Namespace, config: ConfigDict, place: tuple[int, int]
) -> Callable[[int], Iterator]:
    """Examples from a position on, of rank ``place[0]`` among ``place[1]``."""
    from protenix_ms.data.dataset import DataOptions, Loader, Source

    each = example_options(config, config.training.train_crop_size, **config.training.data)
    options = DataOptions(tuple(Source(folder, example=each) for folder in args.data),
                          config.training.seed, rank=place[0], ranks=place[1],
                          use_rna_msa=default_options(config).use_rna_msa)
    loader = Loader(options, args.loaders)

    def examples(start: int) -> Iterator:
        return (loaded.example for loaded in loader.examples(start))

    return examples


def example_options(config: ConfigDict, crop_size: int, **data: object) -> object:
    """How examples of a model are made (`data.example.ExampleOptions`).

    Args:
        data: of ``config.training.data``.
    """
    from protenix_ms.data.constraints import ConstraintSampling
    from protenix_ms.data.crop import CropOptions
    from protenix_ms.data.example import ExampleOptions

    constrained = config.model.constraint_embedder.contact_embedder.enable
    return ExampleOptions(
        crop=replace(CropOptions(), size=crop_size), use_msa=config.use_msa,
        constraints=ConstraintSampling() if constrained else None, **data,
    )


def held_out(folder: Path, config: ConfigDict, sizes: ConfigDict) -> object:
    """Entries to be judged by (`data.dataset.HeldOut`).

    Args:
        sizes: ``config.training.evaluation``.
    """
    from protenix_ms.data.dataset import HeldOut

    options = example_options(config, sizes.crop_size)
    options = replace(options, crop=replace(options.crop, weights=(0.0, 1.0, 0.0)))
    return HeldOut(folder, options, sizes.entries, default_options(config).use_rna_msa)


def _trainer(
    args: argparse.Namespace, config: ConfigDict, weights: Weights | None, ranks: object
) -> object:
    import numpy as np

    from protenix_ms.model.protenix import Protenix
    from protenix_ms.model.weights import load_weights
    from protenix_ms.nn import initialise
    from protenix_ms.train.checkpoint import finite
    from protenix_ms.train.evaluation import Evaluation
    from protenix_ms.train.loop import Trainer

    model = Protenix(config)
    if weights is not None:
        arrays = finite(weights.arrays(config), str(weights.path), "give --init sound weights")
        load_weights(model, arrays, str(weights.path))
    else:
        initialise(model, np.random.default_rng(config.training.seed))
    examples = source(args, config, (ranks.rank, ranks.count))
    judge = None
    if args.evaluate:
        sizes = config.training.evaluation
        judge = Evaluation(held_out(args.evaluate, config, sizes), sizes)
    trainer = Trainer(model, config.training, examples, args.output, ranks, judge)
    if args.resume:
        trainer.resume()
    return trainer


def _print_line(line: dict) -> None:
    if "entry" in line:
        print(judged_text(line), flush=True)
        return
    loss = "not finite" if line["loss"] is None else f"{line['loss']:.4f}"
    print(f"step {line['step']}: loss {loss}, rate {line['rate']:.2e}, {line['seconds']:.1f} s",
          flush=True)


def judged_text(line: dict) -> str:
    """One line of an evaluation for people."""
    if "failed" in line:
        return f"  {line['entry']}: {line['failed']}"
    words = [f"{title} " + "/".join("-" if line[score][kind] is None else f"{line[score][kind]:.3f}"
                                    for kind in ("best", "rank1", "median"))
             for score, title in (("lddt", "lDDT"), ("rmsd", "RMSD"), ("tm_score", "TM"))]
    clash = line["clash"]["mean"]
    return (f"  {line['entry']}: {', '.join(words)} (best/rank 1/median), "
            f"clashes {'-' if clash is None else f'{clash:.0%}'}")
