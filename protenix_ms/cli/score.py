# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms score`: structures in, the model's confidence in them out."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.cli import launch
from protenix_ms.cli.arguments import add_shared, gibibytes, seeds, whole
from protenix_ms.cli.configuration import load_config, load_dictionary
from protenix_ms.cli.report import Console, table
from protenix_ms.config.model import require_predictable
from protenix_ms.data.scored import ScoredStructure, read_scored, structure_files
from protenix_ms.errors import ChemistryError, InputError, ProtenixError
from protenix_ms.features.assembly import assemble
from protenix_ms.io import read_jobs, validate
from protenix_ms.io.alignment_files import AlignmentFiles
from protenix_ms.io.atomic import make_folder
from protenix_ms.job import MAX_SEED, Job
from protenix_ms.predict.language_model import choose_language_model
from protenix_ms.predict.settings import Settings, default_options, require_device
from protenix_ms.predict.weights import find_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = ("Run the trunk and the confidence head on given coordinates. Without "
                          "--output only tables are printed.")
    add = parser.add_argument
    add("structure", type=Path, metavar="FILE|DIR", help="mmCIF or PDB, or a folder of them")
    add("--output", type=Path, metavar="DIR", help="folder of the results, as predict writes them")
    add("--job", type=Path, metavar="FILE",
        help="the job of the structures (SMILES ligands, alignments); default: made of each")
    add("--msa", type=Path, metavar="FILE|DIR", help="a3m alignments, matched by first sequence")
    add_shared(parser, "--model", "--config", "--set", "--dtype", "--device")
    add("--checkpoint", type=Path, metavar="FILE", help="weights; default: the cache folder")
    add("--random-weights", type=whole(0, MAX_SEED), metavar="SEED",
        help="weights by rule instead of a checkpoint: scores then mean nothing")
    add_shared(parser, "--esm", "--embeddings", "--allow-zero-embeddings")
    add("--seeds", type=seeds, default=(), metavar="101,102|1-5", help="default: 101")
    add("--cycles", type=whole(1), metavar="N", help="recycles (default: the model's)")
    add_shared(parser, "--ccd", "--ccd-extra", "--conformers")
    add("--overwrite", action="store_true", help="redo finished structures")
    add("--memory", type=gibibytes, metavar="GIB",
        help="memory a structure may take (default: what is free)")
    add("--ignore-memory", action="store_true", help="start structures that will hardly fit")
    add_shared(parser, "--quiet")


def run(args: argparse.Namespace) -> int:
    """Check everything, then score.

    Returns:
        0 every structure is scored; 1 some are not; 2 nothing could start.

    Raises:
        ProtenixError: nothing could start.
    """
    config = load_config(args.model, args.config, args.overrides, {
        "sample_diffusion.N_sample": 1,
        **({"model.N_cycle": args.cycles} if args.cycles else {})})
    require_device(args.device, args.dtype)
    require_predictable(config)
    ccd = load_dictionary(args)
    structures, refused = _read_structures(args, ccd)
    for error in refused:
        print(f"protenix-ms score: {error}", file=sys.stderr)
    if not structures:
        return 2
    weights = find_weights(config.model_name, args.checkpoint, args.random_weights)
    language_model = choose_language_model(config, args.esm, args.embeddings,
                                           args.random_weights, args.memory,
                                           args.allow_zero_embeddings)
    with ExitStack() as stack:
        output = args.output or Path(stack.enter_context(TemporaryDirectory()))
        make_folder(output)
        settings = Settings(output, config, weights, ccd, default_options(config), args.seeds,
                            args.device, args.dtype, args.overwrite, False, not args.ignore_memory,
                            language_model=language_model)
        return _score(args, settings, structures, refused)


def _score(
    args: argparse.Namespace, settings: Settings, structures: dict[str, ScoredStructure],
    refused: list[ProtenixError],
) -> int:
    console = Console(args.quiet, args.debug)
    launch.configure(args.device)
    launch.stop_softly()
    from protenix_ms.predict.score import ScoreBatch, collect_tables, write_tables
    from protenix_ms.runtime.policy import Policy, using

    jobs = [structure.job for structure in structures.values()]
    with using(Policy(device=args.device, dtype=args.dtype, memory=args.memory)):
        if settings.language_model is not None:
            jobs, without = settings.language_model.prepare(jobs)
            refused += without
        outcomes = ScoreBatch(settings, console, structures=structures).run(jobs)
    tables = collect_tables(settings, jobs, outcomes)
    if args.output:
        write_tables(settings, tables)
    for rows in (() if args.quiet else tables.values()):
        if rows:
            print(table(list(rows[0]), [[_shown(v) for v in row.values()] for row in rows]) + "\n")
    bad = [(o.job, o.seed or "-", o.state, o.detail) for o in outcomes
           if o.state not in ("done", "there already")]
    bad += [("-", "-", "refused", str(error)) for error in refused]
    if bad:
        print(table(("structure", "seed", "state", ""), bad), file=sys.stderr)
    where = f", results in {args.output}" if args.output else ""
    note = f" ({settings.weights.label})" if settings.weights.path is None else ""
    console.line(f"{len(tables['scores'])} scored{where}{note}")
    return 1 if bad else 0


def _shown(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.3f}"
    return "-" if value is None else value


def _read_structures(
    args: argparse.Namespace, ccd: ComponentDictionary
) -> tuple[dict[str, ScoredStructure], list[ProtenixError]]:
    """Return the structures that can be scored by the name of their job, and why others cannot."""
    files = structure_files(args.structure)
    alignments = AlignmentFiles.find(args.msa) if args.msa else None
    job = _read_job(args.job) if args.job else None
    structures: dict[str, ScoredStructure] = {}
    refused: list[ProtenixError] = []
    for path in files:
        try:
            structure = _checked(read_scored(path, ccd, job), alignments, ccd)
            if structure.job.name in structures:
                other = structures[structure.job.name].path
                raise InputError(f"it has the name of {other.name}", where=str(path),
                                 fix="results of both would share a folder; rename one")
            structures[structure.job.name] = structure
        except (InputError, ChemistryError) as error:
            refused.append(error)
    if alignments and structures and not any(
            alignments.fits(structure.job) for structure in structures.values()):
        raise InputError("the first sequence of the alignment is no chain of any structure",
                         where=str(args.msa),
                         fix="the first row of an alignment must be the chain's own sequence")
    return structures, refused


def _checked(
    structure: ScoredStructure, alignments: AlignmentFiles | None, ccd: ComponentDictionary
) -> ScoredStructure:
    """Add alignments, and notes of missing atoms; refuse what cannot be built or matched."""
    job = alignments.attach(structure.job) if alignments else structure.job
    validate(job, ccd)
    notes = structure.place(assemble(job, ccd, np.random.default_rng(0))).notes
    return replace(structure, job=replace(job, notes=(*job.notes, *notes)))


def _read_job(path: Path) -> Job:
    if not path.is_file():
        raise InputError("there is no such file", where=str(path), fix="correct --job")
    jobs = read_jobs(path)
    if len(jobs) != 1:
        raise InputError(f"the file holds {len(jobs)} jobs", where=str(path),
                         fix="give the one job of the structures by --job")
    return jobs[0]
