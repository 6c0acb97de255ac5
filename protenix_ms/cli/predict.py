# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms predict`: jobs in, structures and confidences out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from protenix_ms.cli import launch
from protenix_ms.cli.arguments import add_shared, gibibytes, iso_date, seeds, share, whole
from protenix_ms.cli.configuration import load_config, load_dictionary
from protenix_ms.cli.engines import add_engine, run_panel, uses_engine
from protenix_ms.cli.report import Console, table
from protenix_ms.cli.search import add_options, find_structures, idle_options, search_jobs
from protenix_ms.config import DEFAULT_MODEL, DEMO_MODEL
from protenix_ms.config.model import require_predictable
from protenix_ms.errors import ConfigError, InputError, OutputError, ProtenixError, nearest
from protenix_ms.features import FeatureOptions
from protenix_ms.features.template_choice import DEFAULT_DATE
from protenix_ms.features.template_folder import read_folder
from protenix_ms.io import say_skipped, scan_jobs, validate
from protenix_ms.io.atomic import make_folder
from protenix_ms.io.confidence_write import FULL_DATA_CHOICES, JSON_TOKENS, write_table
from protenix_ms.job import MAX_SEED, Job
from protenix_ms.predict.demonstration import known_structure, require_known
from protenix_ms.predict.language_model import choose_language_model
from protenix_ms.predict.reference import QUALITY, Comparison, find_references, length_table
from protenix_ms.predict.settings import (
    RANK_BY,
    SAVED,
    Settings,
    default_options,
    require_device,
    require_guidance,
)
from protenix_ms.predict.weights import DEMO_WEIGHTS, find_weights, has_weights
from protenix_ms.report import find_jobs, write_index, write_page
from protenix_ms.report.doubts import branch, number
from protenix_ms.report.index import INDEX
from protenix_ms.report.page import PAGE
from protenix_ms.report.results import RECORD, SCORES, read_json

if TYPE_CHECKING:
    from protenix_ms.predict.batch import Outcome  # loads MindSpore

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
    add("--reference", type=Path, metavar="FILE|DIR", help="known structure, or a folder of "
        "<job>.cif or .pdb: adds TM-score, lDDT and RMSD of every sample to ranking.csv")
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
    alone = _lacks_weights(args)
    args.model = DEMO_MODEL if alone else args.model
    config, engine = _configuration(args), uses_engine(args)
    require_device(args.device, args.dtype)
    require_predictable(config)
    require_guidance(config)
    options, searched, refused = _feature_options(args, config), None, []
    if args.search or args.database or args.databases or args.msa_server:
        searched, refused = _search(args, config)
        options = _feature_options(args, config)
    elif idle := idle_options(args):
        raise ConfigError(f"{', '.join(idle)} says how to search, but nothing is searched",
                          fix="add --search, or leave it out")
    jobs, unread = _read_jobs(args, searched, require_known if alone else lambda job: None)
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
    known = _known_structures(args, config, jobs)
    settings = Settings(
        args.output, config, weights, load_dictionary(args), options, args.seeds, args.device,
        args.dtype, args.overwrite, not args.no_plots, not args.ignore_memory, args.full_data,
        args.rank_by, language_model, args.save, known)
    console = Console(args.quiet, args.debug)
    for name in [job.name for job in jobs if args.reference and job.name not in known]:
        console.line(f"{name}: no structure in {args.reference} is named after it")
    outcomes, refused = _predict(args, settings, jobs, refused, console)
    rows = [(o.job, "-" if o.seed is None else o.seed, o.state, o.detail) for o in outcomes]
    rows += [("-", "-", "refused", error) for error in refused]
    bad = [row for row in rows if row[2] not in ("done", "there already")]
    if bad:  # of a panel, the others stand in its summary.csv
        print(table(("job", "seed", "state", ""), bad if engine else rows), file=sys.stderr)
    mark = f" ({weights.label})" if weights.path in (None, DEMO_WEIGHTS) else ""
    good = f"{len(rows) - len(bad)} of {len(rows)}"
    console.line(f"{good} finished, results in {args.output}{mark}")
    return 2 if not outcomes and not engine else int(bool(bad))  # a shard may be empty


def _search(
    args: argparse.Namespace, config: ConfigDict
) -> tuple[list[Path], list[ProtenixError]]:
    """Search alignments and templates of the jobs; return files of jobs, and what failed."""
    find_weights(config.model_name, args.checkpoint, args.random_weights)  # before the wait
    _require_writable(args.output)
    args.no_templates |= config.model.template_embedder.n_blocks == 0
    args.template_structures = args.template_structures or find_structures(args.databases)
    load_dictionary(args)
    return search_jobs(args, args.output / SEARCHED)


def _known_structures(
    args: argparse.Namespace, config: ConfigDict, jobs: list[Job]
) -> Mapping[str, Comparison]:
    """Find what --reference names, else the deposits that the demonstration model knows."""
    if config.model_name != DEMO_MODEL or args.reference:
        return find_references(args.reference, jobs, load_dictionary(args))
    return {job.name: Comparison(job, path, load_dictionary(args)) for job in jobs
            if (path := known_structure(job)) is not None}


def _predict(
    args: argparse.Namespace, settings: Settings, jobs: list[Job], refused: list[ProtenixError],
    console: Console,
) -> tuple[list[Outcome], list[ProtenixError]]:
    """Predict the jobs, write tables and index; return the outcomes, and why others have none.

    Args:
        refused: why jobs could not be read; those without vectors join them.
    """
    if not uses_engine(args) or settings.language_model is not None:
        launch.configure(args.device)  # else workers alone use the device
    launch.stop_softly()
    from protenix_ms.predict.batch import Batch
    from protenix_ms.runtime.policy import Policy, using

    policy = Policy(device=args.device, dtype=args.dtype, memory=args.memory, jit=JIT[args.jit])
    language_model = settings.language_model
    with using(policy):
        if language_model is not None:
            console.line(f"vectors of residues: {language_model.label()}")
            jobs, without = language_model.prepare(jobs)
            refused = [*refused, *without]
        publish = None if args.no_report else write_page
        if uses_engine(args):
            ended = run_panel(args, settings, policy, jobs, refused, publish)
            outcomes, refused = ended.outcomes, ended.refused
        else:
            outcomes = Batch(settings, console, publish=publish).run(jobs)
    if best := _results(args.output, jobs, settings.known):
        console.line(best)
        if publish and (fault := _index(args.output)):
            console.line(fault)
    if args.reference and args.reference.is_dir():
        console.line(_by_length(args.output, settings.known))
    return outcomes, refused


def saved_kinds(text: str) -> tuple[str, ...]:
    """Read comma-separated words of `SAVED`."""
    kinds = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    if unknown := [kind for kind in kinds if kind not in SAVED]:
        near = nearest(unknown[0], SAVED)
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} cannot be saved; " + (f"did you mean {near}?" if near else
                                                   f"choose among {', '.join(SAVED)}"))
    return kinds


def _results(output: Path, jobs: list[Job], known: Mapping[str, Comparison]) -> str:
    """Make the table of the jobs' best samples, with their pages; "" without any."""
    rows, keys = [], (*SCORES, *QUALITY * bool(known))
    for job in jobs:
        folder = output / job.name
        with suppress(InputError):
            best = branch(read_json(folder / RECORD), "best")
            scores = [number(best.get(key)) for key in keys]
            page = folder / PAGE if (folder / PAGE).is_file() else folder
            if best:
                rows.append((job.name, best.get("seed"), best.get("sample"), *(
                    "-" if score is None else f"{score:.3f}" for score in scores), page))
    head = ("job", "seed", "sample", "ranking", "pLDDT", "pTM", "ipTM",
            *("TM-score", "lDDT", "RMSD") * bool(known), "results")
    return table(head, rows) if rows else ""


def _by_length(output: Path, known: Mapping[str, Comparison]) -> str:
    """Write `reference.csv`, a line for each judged job; make the table of means by length."""
    rows = []
    for name, comparison in known.items():
        with suppress(InputError):
            best = branch(read_json(output / name / RECORD), "best")
            if any(best.get(key) is not None for key in QUALITY):
                rows.append({"job": name, "tokens": comparison.tokens(best["seed"]),
                             **{key: best.get(key) for key in ("seed", "sample", *QUALITY)}})
    if not rows:
        return "nothing could be compared with a known structure"
    write_table(output / "reference.csv", list(rows[0]), rows)
    return table(("tokens", "jobs", "TM-score", "lDDT", "RMSD"), length_table(rows))


def _index(output: Path) -> str:
    """Write the table of all jobs; say why where that fails, since results do not depend on it."""
    try:
        write_index(output, find_jobs(output))
    except ProtenixError as error:
        return f"no {INDEX}: {error}"
    return ""


def _lacks_weights(args: argparse.Namespace) -> bool:
    """Tell whether nothing but the demonstration model can answer: no model is named, and no
    weights are there."""
    named = (args.model, args.config, args.checkpoint, args.random_weights)
    return (all(choice is None for choice in named) and not has_weights(DEFAULT_MODEL)
            and DEMO_WEIGHTS.is_file())


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
    args: argparse.Namespace, searched: list[Path] | None, require: Callable[[Job], None]
) -> tuple[list[Job], list[ProtenixError]]:
    """Return the jobs that can be built, and why the others cannot.

    Args:
        searched: files of jobs that hold everything, in place of ``--input``.
        require: refuses a job of no use.
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
            require(job)
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
