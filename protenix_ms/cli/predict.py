# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms predict`: jobs in, structures and confidences out."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile

from ml_collections import ConfigDict

from protenix_ms.cli import launch
from protenix_ms.cli.arguments import add_shared, gibibytes, iso_date, seeds, share, whole
from protenix_ms.cli.configuration import load_config, load_dictionary
from protenix_ms.cli.engines import add_engine, run_panel, uses_engine
from protenix_ms.cli.report import Console, table
from protenix_ms.cli.search import add_options, find_structures, idle_options, search_jobs
from protenix_ms.config.model import require_predictable
from protenix_ms.errors import ConfigError, InputError, OutputError, ProtenixError, nearest
from protenix_ms.features import FeatureOptions
from protenix_ms.features.template_choice import DEFAULT_DATE
from protenix_ms.features.template_folder import read_folder
from protenix_ms.io import say_skipped, scan_jobs, validate
from protenix_ms.io.atomic import make_folder
from protenix_ms.io.confidence_write import FULL_DATA_CHOICES, JSON_TOKENS
from protenix_ms.job import MAX_SEED, Job
from protenix_ms.predict.language_model import choose_language_model
from protenix_ms.predict.settings import (
    RANK_BY,
    SAVED,
    Settings,
    default_options,
    require_device,
    require_guidance,
)
from protenix_ms.predict.weights import find_weights
from protenix_ms.report import find_jobs, write_index, write_page
from protenix_ms.report.doubts import branch, number
from protenix_ms.report.index import INDEX
from protenix_ms.report.page import PAGE
from protenix_ms.report.results import RECORD, SCORES, read_json

SEARCHED = "searched"  # folder of the output that takes searched jobs
JIT = {"on": True, "off": False, "auto": None}  # values of the policy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--input", type=Path, required=True, metavar="FILE|DIR",
        help="FASTA, Protenix JSON, AlphaFold 3 JSON, or a folder of them")
    add("--output", type=Path, required=True, metavar="DIR", help="folder of the results")
    add("--msa", type=Path, metavar="FILE|DIR", help="a3m alignments, matched by first sequence")
    model = parser.add_argument_group("model")
    add = model.add_argument
    add_shared(model, "--model", "--config", "--set", "--dtype", "--device")
    add("--checkpoint", type=Path, metavar="FILE", help="weights; default: the cache folder")
    add("--random-weights", type=whole(0, MAX_SEED), metavar="SEED",
        help="weights by rule instead of a checkpoint: structures then mean nothing")
    add_shared(model, "--esm", "--embeddings", "--allow-zero-embeddings")
    searching = parser.add_argument_group("search")
    searching.add_argument("--search", action="store_true", help="first find alignments and "
                           "templates that jobs lack, as the command search does; implied by "
                           "--database, --databases and --msa-server")
    add_options(searching)
    sampling = parser.add_argument_group("sampling")
    add = sampling.add_argument
    add("--seeds", type=seeds, default=(), metavar="101,102|1-5",
        help="default: the job's, else 101")
    add("--samples", type=whole(1), metavar="N", help="structures per seed (default 5)")
    add("--steps", type=whole(1), metavar="N", help="denoising steps (default: the model's)")
    add("--cycles", type=whole(1), metavar="N", help="recycles (default: the model's)")
    add("--guidance", action="store_true",
        help="hold ligands and modified residues to their chemistry while sampling")
    add("--upstream-quirks", action="store_true", help="keep upstream's bugs, for comparison")
    templates = parser.add_argument_group("templates")
    add = templates.add_argument
    add("--template-structures", type=Path, metavar="DIR",
        help="structures of template hits: <id>.cif or <id>.cif.gz")
    add("--template-date", type=iso_date, default=DEFAULT_DATE, metavar="YYYY-MM-DD",
        help="last release date of a hit that is used (default %(default)s)")
    add("--min-template-identity", type=share, default=0.0, metavar="X",
        help="smallest share of equal residues in a hit, from 0 to 1 (default 0)")
    add_shared(parser.add_argument_group("chemistry"), "--ccd", "--ccd-extra", "--conformers")
    add_engine(parser)
    running = parser.add_argument_group("running")
    add = running.add_argument
    add("--overwrite", action="store_true", help="redo finished seeds")
    add("--full-data", choices=FULL_DATA_CHOICES, default="auto",
        help="aligned errors, contacts and atom pLDDT: npz (unrounded), json (upstream's form), "
        f"both, none; auto: npz, and json up to {JSON_TOKENS} tokens")
    add("--save", type=saved_kinds, default=(), metavar="KIND,...",
        help=f"keep of each seed {' and '.join(SAVED)}, as npz of float16")
    add("--rank-by", choices=RANK_BY, default="score",
        help="order of ranking.csv and the best model; valid: without wrong chemistry first")
    add("--no-plots", action="store_true", help="draw no pictures")
    add("--no-report", action="store_true", help="write no report.html and no index.html")
    add("--memory", type=gibibytes, metavar="GIB",
        help="memory a job may take (default: what is free)")
    add("--jit", choices=JIT, default="auto",
        help="compile transformer blocks (default: auto, on Ascend only)")
    add("--ignore-memory", action="store_true", help="start jobs that will hardly fit")
    add_shared(running, "--quiet")


def run(args: argparse.Namespace) -> int:
    """Check everything, then predict.

    Returns:
        0 everything asked for has finite coordinates; 1 some job failed; 2 nothing could start.

    Raises:
        ProtenixError: nothing could start.
    """
    config, engine = _configuration(args), uses_engine(args)
    require_device(args.device, args.dtype)
    require_predictable(config)
    require_guidance(config)
    options = _feature_options(args, config)
    searched, refused = None, []
    if args.search or args.database or args.databases or args.msa_server:
        find_weights(config.model_name, args.checkpoint, args.random_weights)  # before the wait
        _require_writable(args.output)
        args.no_templates |= config.model.template_embedder.n_blocks == 0
        args.template_structures = args.template_structures or find_structures(args.databases)
        options = _feature_options(args, config)
        load_dictionary(args)
        searched, refused = search_jobs(args, args.output / SEARCHED)
    elif idle := idle_options(args):
        raise ConfigError(f"{', '.join(idle)} says how to search, but nothing is searched",
                          fix="add --search, or leave it out")
    jobs, unread = _read_jobs(args, searched)
    for error in unread:
        print(f"protenix-ms predict: {error}", file=sys.stderr)
    refused += unread
    if not jobs:
        return 2
    weights = find_weights(config.model_name, args.checkpoint, args.random_weights)
    language_model = choose_language_model(config, args.esm, args.embeddings,
                                           args.random_weights, args.memory,
                                           args.allow_zero_embeddings)
    _require_writable(args.output)
    settings = Settings(
        args.output, config, weights, load_dictionary(args), options, args.seeds, args.device,
        args.dtype, args.overwrite, not args.no_plots, not args.ignore_memory, args.full_data,
        args.rank_by, language_model, args.save)
    console = Console(args.quiet, args.debug)
    if not engine or language_model is not None:  # else workers alone use the device
        launch.configure(args.device)
    launch.stop_softly()
    from protenix_ms.predict.batch import Batch
    from protenix_ms.runtime.policy import Policy, using

    policy = Policy(device=args.device, dtype=args.dtype, memory=args.memory, jit=JIT[args.jit])
    with using(policy):
        if language_model is not None:
            console.line(f"vectors of residues: {language_model.label()}")
            jobs, without = language_model.prepare(jobs)
            refused += without
        publish = None if args.no_report else write_page
        if engine:
            ended = run_panel(args, settings, policy, jobs, refused, publish)
            outcomes, refused = ended.outcomes, ended.refused
        else:
            outcomes = Batch(settings, console, publish=publish).run(jobs)
    if best := _results(args.output, jobs):
        console.line(best)
        if publish and (fault := _index(args.output)):
            console.line(fault)
    rows = [(o.job, "-" if o.seed is None else o.seed, o.state, o.detail) for o in outcomes]
    rows += [("-", "-", "refused", error) for error in refused]
    bad = [row for row in rows if row[2] not in ("done", "there already")]
    if bad:  # of a panel, the others stand in its summary.csv
        print(table(("job", "seed", "state", ""), bad if engine else rows), file=sys.stderr)
    random = f" ({weights.label})" if weights.path is None else ""
    good = f"{len(rows) - len(bad)} of {len(rows)}"
    console.line(f"{good} finished, results in {args.output}{random}")
    return 1 if bad else 0


def saved_kinds(text: str) -> tuple[str, ...]:
    """Read comma-separated words of `SAVED`."""
    kinds = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    if unknown := [kind for kind in kinds if kind not in SAVED]:
        near = nearest(unknown[0], SAVED)
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} cannot be saved; " + (f"did you mean {near}?" if near else
                                                   f"choose among {', '.join(SAVED)}"))
    return kinds


def _results(output: Path, jobs: list[Job]) -> str:
    """Make the table of the jobs' best samples, with their pages; "" without any."""
    rows = []
    for job in jobs:
        folder = output / job.name
        with suppress(InputError):
            best = branch(read_json(folder / RECORD), "best")
            scores = [number(best.get(key)) for key in SCORES]
            page = folder / PAGE if (folder / PAGE).is_file() else folder
            if best:
                rows.append((job.name, best.get("seed"), best.get("sample"), *(
                    "-" if score is None else f"{score:.3f}" for score in scores), page))
    head = ("job", "seed", "sample", "ranking", "pLDDT", "pTM", "ipTM", "results")
    return table(head, rows) if rows else ""


def _index(output: Path) -> str:
    """Write the table of all jobs; say why where that fails, since results do not depend on it."""
    try:
        write_index(output, find_jobs(output))
    except ProtenixError as error:
        return f"no {INDEX}: {error}"
    return ""


def _configuration(args: argparse.Namespace) -> ConfigDict:
    """Read the configuration; --samples, --steps and --cycles win over --set."""
    short = {"sample_diffusion.N_sample": args.samples, "sample_diffusion.N_step": args.steps,
             "model.N_cycle": args.cycles}
    short["sample_diffusion.guidance.enable"] = args.guidance or None
    return load_config(args.model, args.config, args.overrides,
                       {key: value for key, value in short.items() if value is not None})


def _feature_options(args: argparse.Namespace, config: ConfigDict) -> FeatureOptions:
    """Choose features by model and options. Raises InputError for a folder that is not there."""
    options = default_options(config, args.upstream_quirks)
    if args.template_structures:
        read_folder(args.template_structures)
    return replace(options, templates=replace(
        options.templates, folder=args.template_structures, latest=args.template_date,
        min_identity=args.min_template_identity))


def _read_jobs(
    args: argparse.Namespace, searched: list[Path] | None
) -> tuple[list[Job], list[ProtenixError]]:
    """Return the jobs that can be built, and why the others cannot.

    Args:
        searched: files of jobs that hold everything, in place of ``--input``.
    """
    jobs, refused = [], []
    scanned = scan_jobs(args.input, args.msa) if searched is None else (
        job for path in searched for job in scan_jobs(path))
    for job in scanned:
        try:
            if isinstance(job, InputError):
                raise job
            _require_name(job)
            validate(job, load_dictionary(args))
            jobs.append(job)
        except InputError as error:
            refused.append(error)
    if searched is None and (skipped := say_skipped(args.input)):
        print(f"{args.input}: {skipped.removesuffix(';')}.", file=sys.stderr)
    return jobs, refused


def _require_name(job: Job) -> None:
    """Refuse a name that the file system's encoding cannot write. Raises InputError."""
    try:
        os.fsencode(job.name)
    except UnicodeEncodeError as error:
        raise InputError(f"this process writes file names in {error.encoding} only, which lacks "
                         "letters of the job's name", where=f"job {ascii(job.name)}",
                         fix="set PYTHONUTF8=1 or a UTF-8 locale (LC_ALL=C.UTF-8)") from error


def _require_writable(folder: Path) -> None:
    """Make the output folder, or raise OutputError."""
    make_folder(folder)
    try:
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror})", where=str(folder),
                          fix="choose another --output") from error
