# SPDX-License-Identifier: Apache-2.0
"""Write a job's features under upstream's names, and hold them against a recording.

    python scripts/featurize.py JOB.json --out features.npz --conformers conformers.npz \
        --compare RECORDING_DIR
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.errors import ProtenixError
from protenix_ms.features import Example, FeatureOptions, assemble, featurize
from protenix_ms.features.comparison import compare, with_recorded_ligands
from protenix_ms.io import read_jobs


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", type=Path, help="job file: JSON or FASTA")
    parser.add_argument("--out", type=Path, help="npz file to write")
    parser.add_argument("--index", type=int, default=0, help="which job of the file, from 0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ccd", type=Path, help="another component table")
    parser.add_argument("--conformers", type=Path, help="npz of reference conformers by component")
    parser.add_argument("--compare", type=Path, metavar="DIR", help="folder with features.npz")
    parser.add_argument("--ignore", nargs="*", default=[], metavar="KEY",
                        help="features left out of the comparison, by the start of their names")
    parser.add_argument("--no-msa", action="store_true", help="as the ESM and ISM variants")
    parser.add_argument("--no-quirks", action="store_true",
                        help="our defaults instead of exactly upstream's behaviour")
    return parser.parse_args()


def featurized(arguments: argparse.Namespace) -> Example:
    ccd = ComponentDictionary.load(arguments.ccd)
    if arguments.conformers:
        ccd = ccd.with_conformers(arguments.conformers)
    job = read_jobs(arguments.job)[arguments.index]
    options = FeatureOptions(
        use_msa=not arguments.no_msa, upstream_quirks=not arguments.no_quirks
    )
    rng = np.random.default_rng(arguments.seed)
    atoms = assemble(job, ccd, rng)
    recording = arguments.compare and arguments.compare / "atoms.npz"
    if recording and recording.exists():
        atoms = with_recorded_ligands(atoms, np.load(recording))
    return featurize(job, atoms, rng, options)


def report(features: dict[str, np.ndarray], folder: Path, ignored: list[str]) -> bool:
    """Print the table of differences; True if everything that should be equal is."""
    theirs = dict(np.load(folder / "features.npz"))
    good = True
    for row in compare(features, theirs):
        ignore = any(row.name.startswith(start) for start in ignored)
        good &= row.equal or ignore
        verdict = "ignored" if ignore else "equal" if row.equal else "DIFFERENT"
        size = "" if row.difference is None else f"{row.difference:.2e}"
        print(f"{row.name:42s} {verdict:10s} {size:>9s}  {row.note}")
    return good


def main() -> int:
    arguments = parse_arguments()
    began = time.perf_counter()
    try:
        example = featurized(arguments)
    except ProtenixError as error:
        print(error, file=sys.stderr)
        return 2
    print(
        f"{len(example.tokens)} tokens, {len(example.atoms)} atoms, "
        f"{len(example.features['msa'])} MSA rows in {time.perf_counter() - began:.2f} s"
    )
    if arguments.out:
        np.savez_compressed(arguments.out, **example.features)
    if arguments.compare is None:
        return 0
    return 0 if report(example.features, arguments.compare, arguments.ignore) else 1


if __name__ == "__main__":
    sys.exit(main())
