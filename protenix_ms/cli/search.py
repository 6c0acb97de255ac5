# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms search`: jobs in, jobs out that hold the alignments and templates they lacked."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from protenix_ms.cli import launch
from protenix_ms.cli.arguments import add_shared, whole
from protenix_ms.cli.report import Console, table
from protenix_ms.config.home import databases_dir
from protenix_ms.errors import ConfigError, OutputError, ProtenixError
from protenix_ms.io import say_skipped, scan_jobs
from protenix_ms.io.atomic import make_folder
from protenix_ms.job import Job
from protenix_ms.search import (
    Database,
    LocalSearch,
    Searcher,
    Server,
    find_databases,
    name_database,
    write_job,
)
from protenix_ms.search.cache import Cache
from protenix_ms.search.connection import Connection, read_credentials, require_url
from protenix_ms.search.server import MAX_WAIT

PACE = 1.0  # factor of the pauses between questions to a server
STRUCTURES = ("mmcif_files", "mmcif")  # folders among the databases
SECONDS = 10.0  # between lines of progress where there is no terminal
HEAD = ("job", "entity", "residues", "rows", "kept", "Neff", "paired", "templates", "seconds",
        "coverage")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = ("Find the alignments and template hits that jobs lack, and write jobs "
                          "that hold them. Nothing is sent over a network without --msa-server.")
    parser.add_argument("--input", type=Path, required=True, metavar="FILE|DIR",
                        help="jobs, as predict reads them")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR",
                        help="folder of the jobs, <job>.json, and of their alignments")
    parser.add_argument("--msa", type=Path, metavar="FILE|DIR",
                        help="a3m alignments, matched by first sequence; their chains have one")
    add_options(parser)
    parser.add_argument("--overwrite", action="store_true", help="make finished searches again")
    add_shared(parser, "--quiet")


def add_options(parser: argparse._ActionsContainer) -> None:
    """Declare where and how to search, also for `predict`."""
    add = parser.add_argument
    add("--databases", type=Path, metavar="DIR",
        help="FASTA or MMseqs2 databases, recognised by the beginnings of their names "
        "(default: ~/.cache/protenix_ms/databases)")
    add("--database", action="append", default=[], metavar="KIND=FILE",
        help="one database, like uniref90=FILE; may be repeated")
    add("--msa-server", metavar="URL",
        help="a server of ColabFold's protocol; the sequences are sent there")
    add("--msa-server-auth-env", metavar="NAME", help="environment variable with user:password, "
        "'Header: value' or a token")
    add("--max-wait", type=whole(1), default=MAX_WAIT, metavar="MIN",
        help="minutes to wait for the server (default %(default)s)")
    add("--cpus", type=whole(1), default=os.cpu_count() or 1, metavar="N",
        help="cores for local searches (default: all, %(default)s)")
    add("--no-templates", action="store_true", help="look for no template hits")
    add("--allow-single-sequence", action="store_true",
        help="take chains for which no relative is found")


def idle_options(args: argparse.Namespace) -> list[str]:
    """List the options that say how to search; without a search they would do nothing."""
    used = {"--msa-server-auth-env": args.msa_server_auth_env is not None,
            "--max-wait": args.max_wait != MAX_WAIT, "--cpus": args.cpus != (os.cpu_count() or 1),
            "--no-templates": args.no_templates,
            "--allow-single-sequence": args.allow_single_sequence}
    return [option for option, is_used in used.items() if is_used]


def run(args: argparse.Namespace) -> int:
    """Search; 0 every job was written, 1 some were not, 2 none was.

    Raises:
        ProtenixError: nothing could start, or the searches themselves fail.
    """
    written, refused = search_jobs(args, args.output, not args.overwrite)
    return (1 if written else 2) if refused else 0


def search_jobs(
    args: argparse.Namespace, output: Path, reads_cache: bool = True
) -> tuple[list[Path], list[ProtenixError]]:
    """Search for the jobs of ``--input``, write them to `output`, and print a table.

    Returns:
        the files of the jobs, and why others were not written.

    Raises:
        ProtenixError: nothing could start, or the searches themselves fail.
    """
    launch.stop_softly()
    console = Console(args.quiet, args.debug)
    folder = args.input if args.input.is_dir() else args.input.parent
    if output.resolve() == folder.resolve():
        raise OutputError("it holds the input, which stays as it is", where=str(output),
                          fix="choose another --output")
    searcher = _searcher(args, console, reads_cache)
    jobs: list[Job] = []
    refused: list[ProtenixError] = []
    for job in scan_jobs(args.input, args.msa):
        (jobs if isinstance(job, Job) else refused).append(job)
    if skipped := say_skipped(args.input):
        console.line(f"{args.input}: {skipped.removesuffix(';')}.")
    make_folder(output)
    written, rows = [], []
    try:
        with _shown(searcher.local, args.quiet):
            searcher.prepare(jobs)
            for job in jobs:
                try:
                    path, report = write_job(job, searcher.search(job), output)
                    written.append(path)
                    rows += _rows(report, console)
                except ProtenixError as error:
                    refused.append(error)
    except KeyboardInterrupt:
        console.line("what is finished is kept; the same command goes on from there")
        raise
    if rows:
        console.line(table(HEAD, rows))
    for error in refused:
        print(f"protenix-ms search: {error}", file=sys.stderr)
    console.line(f"{len(written)} of {len(written) + len(refused)} jobs written to {output}")
    return written, refused


def find_structures(databases: Path | None) -> Path | None:
    """Find the structures of templates that lie beside databases, as in AlphaFold 3's folder."""
    folder = databases or databases_dir()
    return next((path for name in STRUCTURES if (path := folder / name).is_dir()), None)


@contextmanager
def _shown(local: LocalSearch, quiet: bool) -> Iterator[None]:
    """Show how many searches are done and which are running: a bar, or lines now and then."""
    last = time.monotonic()
    with tqdm(desc="searches", disable=True if quiet else None) as bar:
        def progress(running: Sequence[str], done: int, total: int) -> None:
            nonlocal last
            bar.total, bar.n = total, done
            bar.set_postfix_str(", ".join(running[:3]))
            if bar.disable and not quiet and time.monotonic() - last >= SECONDS:
                last = time.monotonic()
                print(f"searches: {done} of {total} done, running {', '.join(running[:3])}",
                      file=sys.stderr, flush=True)

        local.progress = progress
        yield


def _searcher(args: argparse.Namespace, console: Console, reads_cache: bool) -> Searcher:
    """Make the searcher that the arguments describe.

    Raises:
        ConfigError: nowhere to search. InputError: a database that is none.
    """
    databases: list[Database] = [name_database(text) for text in args.database]
    default = databases_dir()
    if args.databases:
        databases += find_databases(args.databases)
    elif not databases and not args.msa_server and default.is_dir():
        databases = find_databases(default)
    if not databases and not args.msa_server:
        raise ConfigError("there is nothing to search in", remedies=(
            "give --databases DIR or --database KIND=FILE; `protenix-ms fetch databases` says "
            "where to get them", "give --msa-server URL, to which the sequences are then sent"))
    if args.msa_server_auth_env and not args.msa_server:
        raise ConfigError("--msa-server-auth-env stands without --msa-server", fix="give both")
    cache, server = Cache.default(reads_cache), None
    if args.msa_server:
        connection = Connection(require_url(args.msa_server),
                                read_credentials(args.msa_server_auth_env), PACE, console.line)
        server = Server(connection, cache, float(args.max_wait))
    local = LocalSearch(cache, args.cpus)
    for database in databases:
        local.tool_for(database)  # a missing program is refused before any work
    return Searcher(databases, local, server, not args.no_templates, args.allow_single_sequence)


def _rows(report: dict, console: Console) -> list[Sequence[object]]:
    """Make the lines of the table for one job, and print its notes."""
    for note in report["notes"]:
        console.line(f"{report['job']}: {note}")
    return [(report["job"], chain["entity"], chain["residues"], chain["rows"], chain["kept"],
             chain["neff"], chain["paired_rows"],
             "-" if chain["templates"] is None else chain["templates"],
             f"{sum(source['seconds'] for source in chain['sources']):.1f}",
             f"|{chain['picture']}|") for chain in report["chains"]]
