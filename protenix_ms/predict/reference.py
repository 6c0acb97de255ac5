# SPDX-License-Identifier: Apache-2.0
"""Compare finished samples with known structures: TM-score, lDDT, RMSD (`predict --reference`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import mean

import gemmi
import numpy as np

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.data.pdb import STRUCTURE_SUFFIXES
from protenix_ms.data.reference import ReferenceStructure
from protenix_ms.data.symmetry import Symmetries, permutation_lists
from protenix_ms.errors import InputError, OutputError
from protenix_ms.features.assembly import assemble
from protenix_ms.features.build import feature_draws
from protenix_ms.features.tokens import role_features, token_features, tokenize
from protenix_ms.job import Job
from protenix_ms.metrics.permutation import permute_labels
from protenix_ms.metrics.quality import KnownComplex, judge
from protenix_ms.runtime.draws import SeededDraws
from protenix_ms.typing import Array, Float

QUALITY = ("tm_score", "lddt", "rmsd")  # columns of ranking.csv
LENGTHS = (100, 300, 600, 1200)  # tokens; upper ends of the classes of a table


@dataclass(frozen=True)
class Comparison:
    """A job beside its known structure.

    Attributes:
        job: the job.
        path: file of the known structure.
        ccd: component dictionary.
    """

    job: Job
    path: Path
    ccd: ComponentDictionary
    _known: dict[int, tuple[dict, tuple, list]] = field(default_factory=dict, compare=False)

    @cached_property
    def _structure(self) -> ReferenceStructure:
        return ReferenceStructure.read(self.path, self.ccd)

    def _of_seed(self, seed: int) -> tuple[dict[str, Array], tuple[dict, dict], list]:
        """Return features, labels and permutations of the job's atoms, as a seed draws them."""
        if seed not in self._known:
            atoms = assemble(self.job, self.ccd, feature_draws(self.job, seed))
            tokens = tokenize(atoms)
            features = token_features(tokens) | role_features(atoms, tokens) | {
                "ref_space_uid": atoms.ref_space_uid}
            labels = self._structure.labels(atoms)
            own = {key: value[: len(atoms)] for key, value in labels.items()}
            orders = permutation_lists(atoms, Symmetries(self.ccd))
            self._known[seed] = features, (own, labels), orders
        return self._known[seed]

    def known(self, seed: int, x: Float[Array, "a 3"]) -> KnownComplex:
        """Return the known structure in the order of atoms that fits a sample (angstrom) best.

        Equal chains and symmetric atoms of the known structure are exchanged for the best fit.

        Raises:
            InputError: the known structure cannot be read, or has no chain of the job.
        """
        features, labels, orders = self._of_seed(seed)
        known = permute_labels(x, features, labels, orders, SeededDraws(seed))
        return KnownComplex.from_features(features, known.x, known.resolved)

    def judge(self, seed: int, x: Float[Array, "a 3"]) -> dict[str, float | None]:
        """Score a sample: `QUALITY`; None for what is undefined. Raises as `known`."""
        quality = judge(x, self.known(seed, x))
        values = {name: float(getattr(quality, name)) for name in QUALITY}
        return {name: round(value, 4) if math.isfinite(value) else None
                for name, value in values.items()}

    def scores(self, seed: int, structure: Path) -> dict[str, float | None]:
        """Score a sample that was written as an mmCIF file; see `judge`.

        Raises:
            OutputError: the sample's file is damaged.
        """
        x, count = _coordinates(structure), len(self._of_seed(seed)[0]["mol_id"])
        if len(x) != count:
            raise OutputError(f"{len(x)} atoms, the job has {count}", where=str(structure),
                              fix="add --overwrite to make the seed again")
        return self.judge(seed, x)

    def tokens(self, seed: int) -> int:
        """Count the job's tokens."""
        return len(self._of_seed(seed)[0]["asym_id"])


def _coordinates(path: Path) -> Float[Array, "a 3"]:
    try:
        sites = gemmi.cif.read(str(path)).sole_block().find("_atom_site.Cartn_", ["x", "y", "z"])
        return np.array([[float(value) for value in row] for row in sites], np.float32)
    except (OSError, RuntimeError, ValueError) as error:
        raise OutputError(f"this is not a readable mmCIF file ({error})", where=str(path),
                          fix="add --overwrite to make the seed again") from error


def find_references(
    place: Path | None, jobs: Sequence[Job], ccd: ComponentDictionary
) -> dict[str, Comparison]:
    """Find the known structure of every job, by its name in a folder.

    Args:
        place: a structure for the only job, or a folder of ``<job>.cif`` and the like; None: none.

    Raises:
        InputError: no such place, one file for several jobs, or no file for any of the jobs.
    """
    if place is None:
        return {}
    if not place.exists():
        raise InputError("there is no such file or folder", where=str(place),
                         fix="give a structure, or a folder of <job>.cif, to --reference")
    if place.is_file():
        if len(jobs) > 1:
            raise InputError(f"one structure for {len(jobs)} jobs", where=str(place),
                             fix="give a folder with a structure named after each job")
        return {job.name: Comparison(job, place, ccd) for job in jobs}
    names = {job.name: [place / f"{job.name}{suffix}{packed}" for suffix in STRUCTURE_SUFFIXES
                        for packed in ("", ".gz")] for job in jobs}
    paths = {name: next((p for p in choices if p.is_file()), None)
             for name, choices in names.items()}
    if not any(paths.values()):
        raise InputError("no structure here is named after a job", where=str(place),
                         fix=f"name them {jobs[0].name}.cif and the like" if jobs else "")
    return {job.name: Comparison(job, path, ccd) for job in jobs
            if (path := paths[job.name]) is not None}


def length_table(rows: Sequence[Mapping[str, object]]) -> list[tuple[str, ...]]:
    """Average the scores of the first-ranked samples by length of their jobs.

    Args:
        rows: `tokens` and `QUALITY` of each.

    Returns:
        Lines of (tokens, jobs, TM-score, lDDT, RMSD in angstrom).
    """
    table, low = [], 0
    for high in (*LENGTHS, math.inf):
        mine = [row for row in rows if low < float(str(row["tokens"])) <= high]
        if mine:
            values = ([float(str(row[name])) for row in mine if row[name] is not None]
                      for name in QUALITY)
            label = f"over {low}" if high == math.inf else f"{low + 1}-{high}"
            table.append((label, str(len(mine)), *(
                f"{mean(column):.3f}" if column else "-" for column in values)))
        low = int(min(high, LENGTHS[-1]))
    return table
