# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms export`: finished results as other programs read them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from protenix_ms.errors import InputError
from protenix_ms.io.atomic import make_folder
from protenix_ms.predict.export import FORMS, af3_name, export_af3, export_pdb, find_jobs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = ("Write finished results as AlphaFold 3 writes its own (with the names of "
                          "AlphaFold Server in a folder fold_NAME beside), or as PDB.")
    parser.add_argument("results", type=Path, metavar="RESULTS",
                        help="the --output of predict or score, or the folder of one job")
    parser.add_argument("--as", choices=FORMS, required=True, dest="form", help="the format")
    parser.add_argument("--output", type=Path, metavar="DIR",
                        help="folder of the export (default: RESULTS with -af3 or -pdb behind)")


def run(args: argparse.Namespace) -> int:
    """Export; 0 done, 1 some jobs are not exported.

    Raises:
        InputError, OutputError: nothing can be exported.
    """
    jobs = find_jobs(args.results)
    place = args.results.resolve()
    output = args.output or place.with_name(f"{place.name}-{args.form}")
    make_folder(output)
    names: set[str] = set()
    failed = 0
    for samples in jobs:
        try:
            name = samples[0].folder.name
            if args.form == "af3":
                mine = {af3_name(name), f"fold_{af3_name(name)}"}
                if mine & names:
                    raise InputError(f"another job is called {af3_name(name)} in AlphaFold 3's "
                                     "letters", where=name, fix="export them one by one")
                names |= mine
                folder, notes = export_af3(samples, output), []
            else:
                folder, notes = export_pdb(samples, output)
        except InputError as error:
            print(f"protenix-ms export: {error}", file=sys.stderr)
            failed += 1
            continue
        for note in notes:
            print(f"{name}: {note}", file=sys.stderr)
        print(f"{folder}: {len(samples)} sample{'s' if samples[1:] else ''}")
    return 2 if failed == len(jobs) else int(failed > 0)
