# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms evaluate`: judge a checkpoint on entries that it was not trained on."""

from __future__ import annotations

import argparse
from pathlib import Path

from ml_collections import ConfigDict

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.cli import launch
from protenix_ms.cli.arguments import add_shared, whole
from protenix_ms.cli.configuration import load_config
from protenix_ms.config.model import require_predictable
from protenix_ms.config.training import training_config
from protenix_ms.data.dataset import require_prepared
from protenix_ms.errors import OutputError
from protenix_ms.io.atomic import make_folder
from protenix_ms.predict.settings import refuse_language_model, require_device
from protenix_ms.predict.weights import find_weights
from protenix_ms.train.record import EVALUATION, Record, judged_text

SIZES = {
    "samples": "structures per entry, 0 for the model's own number",
    "steps": "denoising steps, 0 for the model's own",
    "cycles": "recycles, 0 for the model's own",
    "entries": "entries to judge, 0 for all",
    "crop_size": "tokens of an entry that are predicted, 0 for all",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = ("Sample every entry of prepared data and compare with what is known: "
                          "lDDT of the complex and by pairs of chains, RMSD, TM-score, clashes.")
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="what prepare-data wrote")
    add("--output", type=Path, required=True, metavar="DIR", help="for evaluation.jsonl")
    add("--checkpoint", type=Path, metavar="FILE|DIR",
        help="weights, or the folder of a training run; default: the cache folder")
    sizes = training_config().evaluation
    for name, text in SIZES.items():
        add(f"--{name.replace('_', '-')}", type=whole(0), metavar="N", default=sizes[name],
            help=f"{text} (default {sizes[name]})")
    add_shared(parser, "--model", "--config", "--set", "--device", "--quiet")


def run(args: argparse.Namespace) -> int:
    """Judge every entry; 0 all have scores, 1 some failed.

    Raises:
        ProtenixError: nothing could start.
    """
    config = load_config(args.model, args.config, args.overrides, {})
    require_device(args.device, "fp32")
    refuse_language_model(config, "evaluate")
    require_predictable(config)
    weights = find_weights(config.model_name, args.checkpoint, None, may_be_random=False)
    require_prepared([args.data])
    sizes = ConfigDict({name: getattr(args, name) for name in SIZES})
    record = Record(args.output)
    if record.lines(EVALUATION):
        raise OutputError("the folder holds an evaluation", where=str(args.output),
                          fix="choose another --output")
    make_folder(args.output)
    launch.configure(args.device)
    from protenix_ms.predict.predictor import load_predictor
    from protenix_ms.runtime.policy import Policy, using
    from protenix_ms.train import setup
    from protenix_ms.train.evaluation import Evaluation

    entries = setup.held_out_entries(args.data, config, sizes)
    with using(Policy(device=args.device)):
        model = load_predictor(config, weights, ComponentDictionary.load()).model
        lines = Evaluation(entries, sizes).run(
            model, 0, None if args.quiet else lambda line: print(judged_text(line), flush=True))
    for line in lines:
        record.add(EVALUATION, line)
    for reason in entries.left_out:
        print(f"left out: {reason}")
    return 1 if lines[-1]["failed_entries"] or entries.left_out else 0
