# SPDX-License-Identifier: Apache-2.0
"""Score structures that are there already: trunk and confidence head on their coordinates.

Everything else is a prediction's: features, draws of the trunk, files, resume.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

from protenix_ms.data.scored import ScoredStructure
from protenix_ms.features.build import Example
from protenix_ms.features.guidance import guidance_features
from protenix_ms.files import file_sha256
from protenix_ms.guidance.lists import GeometryLists
from protenix_ms.io.confidence_write import write_table
from protenix_ms.job import Job, require_seed
from protenix_ms.predict.batch import Batch, Outcome
from protenix_ms.predict.job_folder import JobFolder, fingerprint
from protenix_ms.predict.outputs import FROM_SUMMARY, INTERFACE, interface_columns, score_pairs
from protenix_ms.predict.predictor import (
    Predictor,
    Progress,
    SeedResult,
    load_predictor,
    rank,
    require_finite,
)
from protenix_ms.predict.settings import Settings
from protenix_ms.runtime.draws import SeededDraws

Structures = Mapping[str, ScoredStructure]  # by the name of their job
Tables = dict[str, list[dict[str, object]]]


@dataclass(frozen=True)
class Scorer(Predictor):
    """A model that scores structures instead of sampling them.

    Attributes:
        structures: what is scored.
    """

    structures: Structures = field(default_factory=dict)

    def predict(
        self, job: Job, seed: int = 101, progress: Progress | None = None,
        example: Example | None = None,
    ) -> SeedResult:
        """Score the structure of a job; arguments and errors as of `Predictor.predict`.

        The result has the atoms of the structure only. Where some are missing, nobody judges
        the chemistry (`rank`).
        """
        structure = self.structures[job.name]
        example = example or self.featurize(replace(job, name=structure.key), seed)
        placed = structure.place(example.atoms)
        draws = SeededDraws(require_seed(seed), crc32(structure.key.encode()))
        prediction = self.model.predict(example.features, draws, progress, placed.coord[None])
        require_finite(prediction, job.name)
        lists = GeometryLists.from_features(
            example.features | guidance_features(job, example.atoms, self.ccd)
        ) if placed.seen.all() else None
        sample, = rank(replace(prediction, coordinates=placed.apart()[None]), example, job,
                       self.config, lists)
        per_atom = {key: sample.full_data[key][placed.seen]
                    for key in ("atom_plddt", "atom_to_token_idx")}
        sample = replace(sample, coordinates=placed.coord[placed.seen],
                         full_data=sample.full_data | per_atom)
        return SeedResult(job, seed, example.atoms[placed.seen], (sample,), prediction.seconds)


@dataclass
class ScoreBatch(Batch):
    """Scores structures one after the other under one `Settings`.

    Attributes:
        structures: what is scored.
    """

    structures: Structures = field(default_factory=dict)

    def __post_init__(self) -> None:
        features = self.featurize
        self.load = self._load
        self.featurize = lambda settings, job, seed: features(
            settings, replace(job, name=self.structures[job.name].key), seed)

    def _load(self, settings: Settings) -> Scorer:
        model = load_predictor(settings.config, settings.weights, settings.ccd, settings.options)
        return Scorer(**vars(model), structures=self.structures)

    def _mark(self, job: Job, seed: int) -> str:
        structure = self.structures[job.name]
        return fingerprint(job, seed, {
            "prediction": super()._mark(job, seed), "draws": structure.key,
            "scored": file_sha256(structure.path)})


def collect_tables(settings: Settings, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> Tables:
    """Read the scores of all finished structures: "scores", "chains" and "pairs"."""
    tables: Tables = {"scores": [], "chains": [], "pairs": []}
    finished = {(o.job, o.seed) for o in outcomes if o.state in ("done", "there already")}
    for job in jobs:
        folder = JobFolder(settings.output, job.name)
        for seed in (s for s in settings.seeds_of(job) if (job.name, s) in finished):
            path = folder.sample(seed, "summary_confidence_", 0, ".json")
            summary = json.loads(path.read_text(encoding="utf-8"))
            place = {"structure": job.name, "seed": seed}
            best = interface_columns(summary)
            tables["scores"].append(place | {k: summary[k] for k in FROM_SUMMARY}
                                    | {k: best[k] for k in INTERFACE})
            tables["chains"] += [place | row for row in _chains(summary)]
            tables["pairs"] += [place | row for row in _pairs(summary)]
    return tables


def _chains(summary: Mapping) -> Iterator[dict[str, object]]:
    for i, chain in enumerate(summary["chain_ids"]):
        yield {"chain": chain, "plddt": 100 * summary["chain_plddt"][i],
               "ptm": summary["chain_ptm"][i], "iptm": summary["chain_iptm"][i]}


def _pairs(summary: Mapping) -> Iterator[dict[str, object]]:
    names, scores = summary["chain_ids"], score_pairs(dict(summary))
    for i, first in enumerate(names):
        for j in range(i + 1, len(names)):
            pair = f"{first}-{names[j]}"
            absent = dict.fromkeys(("ipsae", "pdockq2", "lis"))
            yield {"pair": pair, "iptm": summary["chain_pair_iptm"][i][j],
                   **(absent | scores.get(pair, {})),
                   "pae_mean": summary["chain_pair_pae_mean"][i][j],
                   "pae_min": summary["chain_pair_pae_min"][i][j]}


def write_tables(settings: Settings, tables: Tables) -> None:
    """Write `scores.csv`, `chains.csv` and `pairs.csv` of the rows that there are.

    Raises:
        OutputError: a file cannot be written.
    """
    for name, rows in tables.items():
        if rows:
            write_table(settings.output / f"{name}.csv", list(rows[0]), rows)
