# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms evaluate`: a checkpoint on entries that it was not trained on."""

from __future__ import annotations

import argparse
from pathlib import Path

from ml_collections import ConfigDict

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.cli import launch
from protenix_ms.cli.arguments import whole
from protenix_ms.cli.configuration import load_config
from protenix_ms.cli.train import DEFAULT_MODEL, check_data, held_out, judged_text
from protenix_ms.config.training import evaluation
from protenix_ms.errors import OutputError
from protenix_ms.io.atomic import make_folder
from protenix_ms.predict.settings import require_device, require_embeddings
from protenix_ms.predict.weights import find_weights
from protenix_ms.train.record import EVALUATION, Record

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
    add("--model", metavar="NAME", help=f"default {DEFAULT_MODEL}")
    add("--config", metavar="FILE[:ARG]", help="the one that the weights were trained with")
    add("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="any setting, e.g. sample_diffusion.gamma0=0.5")
    sizes = evaluation()
    for name, text in SIZES.items():
        add(f"--{name.replace('_', '-')}", type=whole(0), metavar="N", default=sizes[name],
            help=f"{text} (default {sizes[name]})")
    add("--device", choices=("CPU", "Ascend"), default="CPU", help="default %(default)s")
    add("--quiet", action="store_true", help="only errors")


def run(args: argparse.Namespace) -> int:
    """Judge; 0 every entry has scores, 1 some failed.

    Raises:
        ProtenixError: nothing could start.
    """
    config = load_config(args.model or (None if args.config else DEFAULT_MODEL), args.config,
                         args.overrides, {})
    require_device(args.device, "fp32")
    require_embeddings(config)
    weights = find_weights(config.model_name, args.checkpoint, None)
    check_data([args.data])
    sizes = ConfigDict({name: getattr(args, name) for name in SIZES})
    entries = held_out(args.data, config, sizes)
    record = Record(args.output)
    if record.lines(EVALUATION):
        raise OutputError("the folder holds an evaluation", where=str(args.output),
                          fix="choose another --output")
    make_folder(args.output)
    launch.configure(args.device)
    from protenix_ms.predict.api import load_predictor
    from protenix_ms.runtime.policy import Policy, using
    from protenix_ms.train.evaluation import Evaluation

    with using(Policy(device=args.device)):
        model = load_predictor(config, weights, ComponentDictionary.load()).model
        lines = Evaluation(entries, sizes).run(
            model, 0, None if args.quiet else lambda line: print(judged_text(line), flush=True))
    for line in lines:
        record.add(EVALUATION, line)
    for reason in entries.left_out:
        print(f"left out: {reason}")
    return 1 if lines[-1]["failed_entries"] or entries.left_out else 0
