# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms train`: prepared data in, checkpoints out."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from ml_collections import ConfigDict

from protenix_ms.cli import launch
from protenix_ms.cli.arguments import add_shared, whole
from protenix_ms.cli.configuration import load_training_config
from protenix_ms.config.training import STAGES
from protenix_ms.data.dataset import require_prepared
from protenix_ms.errors import OutputError
from protenix_ms.predict.settings import refuse_language_model, require_device
from protenix_ms.predict.weights import Weights, find_weights
from protenix_ms.train.record import LOG, judged_text, sole_training


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
    add("--stage", choices=tuple(STAGES), default="stage1",
        help="without --config (default %(default)s)")
    add("--init", type=Path, metavar="FILE", help="weights to start from")
    add("--resume", action="store_true", help="go on from the latest whole checkpoint of --output")
    add("--loaders", type=whole(0), default=1, metavar="N", help="processes that make examples")
    add("--deterministic", action="store_true",
        help="the same bits on Ascend too, slower; on CPU every run is")
    add("--ignore-memory", action="store_true", help="start a training that will hardly fit")
    add_shared(parser, "--model", "--config", "--set", "--device", "--dtype", "--quiet")


def run(args: argparse.Namespace) -> int:
    """Check everything, then train; 0 done or stopped with a checkpoint.

    Raises:
        ProtenixError: nothing could start, or the weights or ten updates were not finite.
    """
    config = load_training_config(args.model, args.config, args.stage, args.overrides)
    require_device(args.device, args.dtype)
    refuse_language_model(config, "train")
    weights = find_weights(config.model_name, args.init, None) if args.init else None
    with ExitStack() as locks:
        if int(os.environ.get("MS_WORKER_NUM", "1")) < 2:  # else `_train` does, after they met
            locks.enter_context(sole_training(args.output))
        if not args.resume and any((args.output / name).exists() for name in (LOG, "checkpoints")):
            raise OutputError("the folder holds a run", where=str(args.output),
                              fix="add --resume, or choose another --output")
        require_prepared([*args.data, *([args.evaluate] if args.evaluate else [])])
        if args.deterministic:  # HCCL reads this when it starts
            launch.same_bits()
        launch.configure(args.device)
        from protenix_ms.runtime.policy import Policy, using

        kinds = frozenset(name for name, on in config.training.recompute.items() if on)
        with using(Policy(device=args.device, dtype=args.dtype, recompute=kinds)):
            _train(args, config, weights, locks)
    return 0


def _train(
    args: argparse.Namespace, config: ConfigDict, weights: Weights | None, locks: ExitStack
) -> None:
    """Build all parts of the training and run it, in a folder that nobody else writes.

    Args:
        locks: holds the folder's; of several processes the first takes it when they have met.
    """
    from protenix_ms.predict.memory import estimate_training, require_training_memory
    from protenix_ms.runtime.ranks import join
    from protenix_ms.train import setup
    from protenix_ms.train.evaluation import Evaluation
    from protenix_ms.train.loop import Trainer

    ranks = join()
    if ranks.count > 1 and not ranks.rank:
        locks.enter_context(sole_training(args.output))
    rows = setup.alignment_rows(config, args.data)
    memory, seconds = estimate_training(config, rows), setup.seconds_per_update(config, rows)
    if not args.ignore_memory:
        require_training_memory(memory, config.model_name)
    model, sizes = setup.new_model(config, weights), config.training.evaluation
    examples = setup.training_examples(config, args.data, args.loaders, ranks)
    evaluation = args.evaluate and Evaluation(
        setup.held_out_entries(args.evaluate, config, sizes), sizes)
    trainer = Trainer(model, config.training, examples, args.output, ranks, evaluation)
    if args.resume:
        trainer.resume()
    for reason in trainer.passed_over:
        print(f"a checkpoint is passed over and set aside: {reason}", file=sys.stderr)
    if args.quiet:
        return trainer.run()
    print(f"{config.model_name}: from step {trainer.step} to {config.training.max_steps}, about "
          f"{memory / 1e9:.1f} GB of memory and {max(seconds, 0.1):.1f} s per update", flush=True)
    trainer.run(_print_line)
    if trainer.step < config.training.max_steps:
        print(f"stopped after step {trainer.step} with a checkpoint; --resume goes on from it")


def _print_line(line: dict) -> None:
    if "entry" in line:
        print(judged_text(line), flush=True)
        return
    loss = "not finite" if line["loss"] is None else f"{line['loss']:.4f}"
    print(f"step {line['step']}: loss {loss}, rate {line['rate']:.2e}, {line['seconds']:.1f} s",
          flush=True)
