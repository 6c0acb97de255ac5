# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms report`: pages about finished jobs, and a table of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from protenix_ms.errors import ProtenixError
from protenix_ms.report import find_jobs, write_index, write_page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = ("Write report.html into every job's folder: structure, confidence and "
                          "reasons for doubt on one page that needs no network. A folder of jobs "
                          "gets index.html, one sortable table.")
    parser.add_argument("results", type=Path, metavar="RESULTS",
                        help="the --output of predict, or one job's folder in it")


def run(args: argparse.Namespace) -> int:
    """Write the pages; 0 done, 1 some job has none.

    Raises:
        InputError: there is no job.
        OutputError: the table cannot be written.
    """
    jobs, failed = find_jobs(args.results), 0
    for job in jobs:
        try:
            page = write_page(job)
            print(f"{page} ({page.stat().st_size / 1e6:.1f} MB)")
        except ProtenixError as error:
            print(f"protenix-ms report: {error}", file=sys.stderr)
            failed += 1
    if jobs != [args.results]:
        print(write_index(args.results, jobs))
    return 2 if failed == len(jobs) else int(bool(failed))
