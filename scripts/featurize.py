# SPDX-License-Identifier: Apache-2.0
"""Write a job's or a deposit's features under upstream's names, and compare them with a recording.

    python scripts/featurize.py JOB.json --out features.npz --conformers conformers.npz \
        --compare RECORDING_DIR [--atoms atoms.npz]
    python scripts/featurize.py --entry FILE.cif[.gz] --out train_inputs.npz
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "oracle")]

from comparison import compare, with_recorded_ligands  # noqa: E402

from protenix_ms.chem.atom_table import AtomTable  # noqa: E402
from protenix_ms.chem.ccd import ComponentDictionary  # noqa: E402
from protenix_ms.cli.arguments import iso_date, whole  # noqa: E402
from protenix_ms.data import (  # noqa: E402
    CropOptions,
    ExampleOptions,
    Symmetries,
    read_entry,
    training_example,
)
from protenix_ms.errors import ProtenixError  # noqa: E402
from protenix_ms.features import Example, FeatureOptions, assemble, featurize  # noqa: E402
from protenix_ms.features.template_choice import DEFAULT_DATE, TemplateOptions  # noqa: E402
from protenix_ms.io import read_jobs  # noqa: E402
from protenix_ms.job import MAX_SEED  # noqa: E402

WHOLE = 10**9  # tokens of a crop that leaves nothing out
TEMPLATES, GAP = 4, 31  # upstream's empty templates
# Columns of our atom table under upstream's names, of which it has several for some.
RENAMED = {"entity_id": ("label_entity_id",), "charge": ("ref_charge",),
           "chain_id": ("chain_id", "label_asym_id", "auth_asym_id"),
           "chain_type": ("chain_mol_type",), "canonical_resname": ("cano_seq_resname",),
           "asym_id": ("asym_id_int",), "entity_index": ("entity_id_int",),
           "sym_id": ("sym_id_int",)}
UNWRITTEN = {"coord", "bonds", "is_resolved", "split"}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", type=Path, nargs="?", help="job file: JSON or FASTA")
    parser.add_argument("--entry", type=Path, metavar="CIF",
                        help="instead of a job: a whole deposit as an uncropped training example")
    parser.add_argument("--out", type=Path, help="npz file to write")
    parser.add_argument("--atoms", type=Path, help="npz file of a job's atoms and bonds to write")
    parser.add_argument("--index", type=int, default=0, help="which job of the file, from 0")
    parser.add_argument("--seed", type=whole(0, MAX_SEED), default=0)
    parser.add_argument("--ccd", type=Path, help="another component table")
    parser.add_argument("--conformers", type=Path, help="npz of reference conformers by component")
    parser.add_argument("--template-structures", type=Path, metavar="DIR",
                        help="structures of template hits, <id>.cif or <id>.cif.gz")
    parser.add_argument("--template-date", type=iso_date, default=DEFAULT_DATE,
                        metavar="YYYY-MM-DD", help="last release date of a hit (%(default)s)")
    parser.add_argument("--compare", type=Path, metavar="DIR",
                        help="folder with features.npz, or train_inputs.npz for an entry")
    parser.add_argument("--ignore", nargs="*", default=[], metavar="KEY",
                        help="features left out of the comparison, by the start of their names")
    parser.add_argument("--no-msa", action="store_true", help="as the ESM and ISM variants")
    parser.add_argument("--no-quirks", action="store_true",
                        help="our defaults instead of exactly upstream's behaviour")
    arguments = parser.parse_args()
    if (arguments.job is None) == (arguments.entry is None):
        parser.error("give a job file, or --entry with a deposit")
    return arguments


def job_example(arguments: argparse.Namespace, ccd: ComponentDictionary) -> Example:
    """Make the features of a job; take conformers of its own ligands from the recording."""
    job = read_jobs(arguments.job)[arguments.index]
    templates = TemplateOptions(folder=arguments.template_structures,
                                latest=arguments.template_date)
    options = FeatureOptions(use_msa=not arguments.no_msa, upstream_quirks=not arguments.no_quirks,
                             templates=templates)
    rng = np.random.default_rng(arguments.seed)
    atoms = assemble(job, ccd, rng, options.upstream_quirks)
    recording = arguments.compare and arguments.compare / "atoms.npz"
    if recording and recording.exists():
        atoms = with_recorded_ligands(atoms, np.load(recording))
    return featurize(job, atoms, rng, options)


def atom_arrays(atoms: AtomTable) -> dict[str, np.ndarray]:
    """Return atoms and bonds of a job under the keys of a recording's `atoms.npz`."""
    columns = {name: column for name, column in vars(atoms).items() if name not in UNWRITTEN}
    arrays = {f"atom/{theirs}": column for ours, column in columns.items()
              for theirs in RENAMED.get(ours, (ours,))}
    return arrays | {"bonds": np.sort(atoms.bonds[:, :2], axis=1)}


def entry_arrays(arguments: argparse.Namespace, ccd: ComponentDictionary) -> dict:
    """Return features, labels and permutation lists of a deposit, keyed as `train_inputs.npz`."""
    entry = read_entry(arguments.entry, ccd)
    options = ExampleOptions(CropOptions(size=WHOLE, weights=(1.0, 0.0, 0.0)))
    rng = np.random.default_rng(arguments.seed)
    chains = [str(entry.atoms.chain_id[0])]
    example = training_example(entry, chains, rng, options, Symmetries(ccd))
    orders = [row for columns in example.permutations for row in columns.tolist()]
    n = len(example.features["asym_id"])
    return {
        "input_feature_dict/template_restype": np.full((TEMPLATES, n), GAP, np.int64),
        "input_feature_dict/template_all_atom_mask": np.zeros((TEMPLATES, n, 37), np.float32),
        "input_feature_dict/template_all_atom_positions": np.zeros((TEMPLATES, n, 37, 3), "f4"),
        **{f"input_feature_dict/{k}": v for k, v in example.features.items()},
        "input_feature_dict/atom_perm_list.json": np.array(json.dumps(orders)),
        **{f"label_dict/{k}": v for k, v in example.labels.items()},
        **{f"label_full_dict/{k}": v for k, v in example.labels_full.items()},
    }


def report(arrays: Mapping[str, np.ndarray], recorded: Path, ignored: list[str]) -> bool:
    """Print the table of differences; return whether everything that should be equal is."""
    good = True
    for row in compare(arrays, dict(np.load(recorded))):
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
        ccd = ComponentDictionary.load(arguments.ccd)
        if arguments.conformers:
            ccd = ccd.with_conformers(arguments.conformers)
        if arguments.entry:
            arrays, recorded = entry_arrays(arguments, ccd), "train_inputs.npz"
            size = f"{len(arrays['input_feature_dict/asym_id'])} tokens"
        else:
            example = job_example(arguments, ccd)
            arrays, recorded = example.features, "features.npz"
            size = (f"{len(example.tokens)} tokens, {len(example.atoms)} atoms, "
                    f"{len(arrays['msa'])} alignment rows")
            if arguments.atoms:
                np.savez_compressed(arguments.atoms, **atom_arrays(example.atoms))
    except ProtenixError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{size} in {time.perf_counter() - began:.2f} s")
    if arguments.out:
        np.savez_compressed(arguments.out, **arrays)
    if arguments.compare is None:
        return 0
    return 0 if report(arrays, arguments.compare / recorded, arguments.ignore) else 1


if __name__ == "__main__":
    sys.exit(main())
