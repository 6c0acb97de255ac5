# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms prepare-data`: mmCIF files into entries and an index that training reads."""

from __future__ import annotations

import argparse
import csv
import io
import os
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from protenix_ms.cli.arguments import add_shared, whole
from protenix_ms.data.clusters import find_mmseqs
from protenix_ms.data.entry import SUFFIX
from protenix_ms.data.preparation import (
    ENTRIES,
    Outcome,
    Preparation,
    mmcif_files,
    prepare_files,
    write_alignments,
    write_index,
)
from protenix_ms.data.templates import write_templates
from protenix_ms.errors import InputError
from protenix_ms.io.atomic import make_folder, write_text

DROPPED = "dropped.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = ("Parse, filter and complete the mmCIF files below a folder, cluster "
                          "their chains, and write what training reads. A rerun goes on where an "
                          "earlier run stopped.")
    parser.add_argument("folder", type=Path, metavar="DIR_OF_MMCIF",
                        help="searched for *.cif, *.CIF and *.cif.gz, its folders too")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR",
                        help="folder of the entries and their index")
    parser.add_argument("--msa", type=Path, metavar="DIR",
                        help="alignments (*.a3m), matched by their first sequence")
    parser.add_argument("--template-hits", type=Path, metavar="DIR", help="template hits named "
                        "<entry>_<entity>.a3m or .hhr, or in upstream's layout")
    parser.add_argument("--template-structures", type=Path, metavar="DIR",
                        help="structures of template hits: <id>.cif or <id>.cif.gz")
    parser.add_argument("--processes", type=whole(1), default=os.cpu_count() or 1, metavar="N",
                        help="processes that make entries (default: one per core, %(default)s)")
    parser.add_argument("--no-filters", action="store_true",
                        help="predicted structures: take the file as it is")
    parser.add_argument("--no-mmseqs", action="store_true",
                        help="cluster exactly even if mmseqs is installed")
    add_shared(parser, "--ccd", "--conformers")
    parser.add_argument("--overwrite", action="store_true", help="make all entries again")


def run(args: argparse.Namespace) -> int:
    """Prepare; 0 done, 1 nothing usable was found.

    Raises:
        InputError, OutputError, ResourceError: nothing could start, or the index not be made.
    """
    if (args.template_hits is None) != (args.template_structures is None):
        raise InputError("--template-hits and --template-structures go together",
                         where="protenix-ms prepare-data", fix="give both or neither")
    files = mmcif_files(args.folder)
    make_folder(args.output)
    preparation = Preparation(args.output, filtered=not args.no_filters, ccd=args.ccd,
                              conformers=args.conformers, overwrite=args.overwrite)
    preparation.dictionary()  # a bad table is refused before any work
    with tqdm(total=len(files), desc="entries", unit="file", disable=None) as bar:
        outcomes = []
        for outcome in prepare_files(files, preparation, args.processes):
            outcomes.append(outcome)
            bar.update()
    program = None if args.no_mmseqs else find_mmseqs()
    with tqdm(desc="clusters", unit="sequence", disable=None) as bar:
        rows = write_index(outcomes, preparation, program, lambda done: bar.update())
    if args.msa:
        aligned, total = write_alignments(args.msa, outcomes, args.output)
        print(f"{aligned} of {total} polymer sequences have an alignment")
    if args.template_hits:
        entries = [args.output / ENTRIES / f"{o.name}{SUFFIX}" for o in outcomes if o.rows]
        templated, total = write_templates(args.template_hits, args.template_structures, entries,
                                           args.output)
        print(f"{templated} of {total} protein sequences have template hits")
    _report(outcomes, args.output)
    kinds = Counter(row["type"] for row in rows)
    clusters = len({row["cluster_id"] for row in rows})
    print(f"{kinds['chain']} chains and {kinds['interface']} interfaces in {clusters} clusters "
          f"({'mmseqs' if program else 'exact'}): {args.output / 'index.csv'}")
    return 0 if rows else 1


def _report(outcomes: list[Outcome], output: Path) -> None:
    """Print how many entries were made and dropped, and why; write the list of the dropped."""
    states = Counter(outcome.status for outcome in outcomes)
    print(f"{states['made']} entries made, {states['kept']} kept from before, "
          f"{states['dropped']} dropped")
    dropped = sorted((o for o in outcomes if o.status == "dropped"), key=lambda o: o.name)
    for reason, count in Counter(outcome.reason for outcome in dropped).most_common():
        print(f"  {count:6d}  {reason}")
    table = io.StringIO()
    lines = ([" ".join(text.split()) for text in (o.name, o.reason)] for o in dropped)
    csv.writer(table, lineterminator="\n").writerows([("name", "reason"), *lines])
    write_text(output / DROPPED, table.getvalue())
