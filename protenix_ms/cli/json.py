# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms json`: a structure into a job file that `predict` reads."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.cli.arguments import add_shared
from protenix_ms.data.structure_job import FIRST, Selection, job_of_structure
from protenix_ms.errors import ChemistryError, InputError, OutputError
from protenix_ms.features.assembly import assemble
from protenix_ms.io import validate
from protenix_ms.io.atomic import write_text
from protenix_ms.io.protenix_json import read_protenix_job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = ("Write the chains, ligands and bonds of a structure as a job. What a job "
                          "cannot have is named on stderr.")
    parser.add_argument("structure", type=Path, metavar="FILE",
                        help="mmCIF or PDB, gzipped or not")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE",
                        help="the job file (JSON)")
    parser.add_argument("--assembly", metavar="ID",
                        help="a biological assembly (default: the atoms of the file)")
    parser.add_argument("--altloc", default=FIRST, metavar="first|A",
                        help="letter of alternatives to take (default: the first of the file)")
    parser.add_argument("--polymer-bonds", action="store_true",
                        help="write disulfides and other bonds between residues of polymers, too")
    add_shared(parser, "--ccd")


def run(args: argparse.Namespace) -> int:
    """Write the job; 0 done, 1 it is written but `predict` will refuse it.

    Raises:
        InputError, OutputError: nothing can be written.
    """
    if args.output.exists() and args.structure.exists() and args.output.samefile(args.structure):
        raise OutputError("it is the structure itself, which stays as it is",
                          where=str(args.output), fix="choose another --output")
    ccd = ComponentDictionary.load(args.ccd)
    selection = Selection(args.assembly, args.altloc, args.polymer_bonds)
    content, notes = job_of_structure(args.structure, ccd, selection)
    for note in notes:
        print(f"{args.structure}: {note}", file=sys.stderr)
    write_text(args.output, json.dumps([content], indent=4) + "\n")
    try:
        job = read_protenix_job(content, args.output.parent, str(args.output))
        validate(job, ccd)
        assemble(job, ccd, np.random.default_rng(0))
    except (InputError, ChemistryError) as error:
        print(f"predict will refuse the job as it stands: {error}", file=sys.stderr)
        return 1
    entities, bonds = len(content["sequences"]), len(content.get("covalent_bonds", []))
    print(f"{args.output}: {entities} entit{'y' if entities == 1 else 'ies'}, "
          f"{bonds} bond{'s' * (bonds != 1)}")
    return 0
