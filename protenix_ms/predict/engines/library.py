# SPDX-License-Identifier: Apache-2.0
"""`protenix_ms.predict_many`: panels from Python."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gemmi
import numpy as np

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.config import get_config
from protenix_ms.config.model import require_predictable
from protenix_ms.errors import ConfigError
from protenix_ms.job import Job, require_seed
from protenix_ms.predict.batch import Outcome
from protenix_ms.predict.engines.engine import Engine
from protenix_ms.predict.engines.panel import Tally
from protenix_ms.predict.job_folder import JobFolder
from protenix_ms.predict.language_model import reads_embeddings
from protenix_ms.predict.predictor import Progress
from protenix_ms.predict.settings import (
    Settings,
    default_options,
    require_device,
    require_guidance,
)
from protenix_ms.predict.weights import find_weights
from protenix_ms.runtime.policy import Policy
from protenix_ms.typing import Array, Float


@dataclass(frozen=True)
class UnitResult:
    """What came of a job with one seed.

    Attributes:
        job, seed: which.
        state: "done", "there already", "incomplete", "failed", "interrupted" or "busy".
        detail: why, where it is not done.
        seconds: wall time by stage.
        structures: mmCIF files of the samples, best ranking score first; none where it failed.
        summaries: for each the summary of its confidence.
    """

    job: str
    seed: int
    state: str
    detail: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    structures: tuple[Path, ...] = ()
    summaries: tuple[Mapping[str, object], ...] = ()

    def coordinates(self, rank: int = 0) -> Float[Array, "a 3"]:
        """Read the coordinates of a sample from its file, in angstrom."""
        structure = gemmi.read_structure(str(self.structures[rank]))
        return np.array([site.atom.pos.tolist() for site in structure[0].all()], np.float32)


class _Silent:
    """A reporter for callers that take results instead of news; `lines` keeps the news."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        """Keep a line."""
        self.lines.append(text)

    def expect(self, plan: Mapping[str, float]) -> None:
        """Take a plan that nobody reads."""

    def progress(self, job: str, seed: int) -> Progress:
        """Return a callback that shows nothing."""
        return lambda stage, done, total: None

    def defect(self, error: BaseException) -> None:
        """Keep an unforeseen error."""
        self.lines.append(repr(error))

    def tally(self, tally: Tally) -> None:
        """Take a tally that nobody reads."""


@dataclass(frozen=True)
class ModelChoice:
    """Says which model predicts, as the arguments of `protenix_ms.load` do.

    Attributes:
        name: one of `protenix_ms.config.VARIANTS`.
        checkpoint, overrides, random_weights, ccd: see `protenix_ms.load`.
    """

    name: str
    checkpoint: str | Path | None = None
    overrides: Mapping | None = None
    random_weights: int | None = None
    ccd: str | Path | None = None

    def settings(self, output: Path, seeds: tuple[int, ...], policy: Policy) -> Settings:
        """Check the choices and make those of a run.

        Raises:
            ConfigError, CheckpointError, ChemistryError: each says what to do.
        """
        require_device(policy.device, policy.dtype)
        config = get_config(self.name, self.overrides)
        require_predictable(config)
        require_guidance(config)
        if reads_embeddings(config):
            raise ConfigError(f"{self.name} reads vectors of a language model",
                              where="predict_many",
                              fix="use protenix-ms predict --engine, which makes them")
        weights = find_weights(self.name, Path(self.checkpoint) if self.checkpoint else None,
                               self.random_weights)
        table = ComponentDictionary.load(Path(self.ccd) if self.ccd else None)
        return Settings(output, config, weights, table, default_options(config), seeds,
                        policy.device, policy.dtype, plots=False)


def predict_many(
    jobs: Iterable[Job], seeds: Sequence[int] = (), *, output: str | Path,
    model: str | ModelChoice, engine: str | Engine = "local",
    policy: Policy = Policy(),  # noqa: B008 (frozen)
) -> Iterator[UnitResult]:  # fmt: skip
    """Predict every job with every seed by several workers; yield results as they come.

    Results are written below `output`; what is finished there already is not made again.

    Args:
        jobs: names differ.
        seeds: of every job; empty takes each job's own, else 101.
        output: folder of the results.
        model: a model's name, or a `ModelChoice` with its weights.
        engine: "local", "ray", or an `Engine` with its number of workers, devices and address.
        policy: device, number format, memory of a worker.

    Raises:
        ConfigError, CheckpointError, ChemistryError, ResourceError: nothing can start.
        InputError: a seed outside 0 to 2^32-1.
    """
    engine = Engine(engine) if isinstance(engine, str) else engine
    engine.require_sound(policy.device)
    choice = ModelChoice(model) if isinstance(model, str) else model
    settings = choice.settings(Path(output), tuple(map(require_seed, seeds)), policy)
    return _results(engine.run(settings, policy, _Silent(), list(jobs)), settings.output)


def _results(outcomes: Iterator[Outcome], output: Path) -> Iterator[UnitResult]:
    """Yield the result of every unit; what fails of a job as a whole belongs to no unit."""
    for outcome in outcomes:
        if outcome.seed is not None:
            yield _result(outcome, output)


def _result(outcome: Outcome, output: Path) -> UnitResult:
    """Collect the files of a unit."""
    structures, summaries, folder = [], [], JobFolder(output, outcome.job)
    if outcome.state in ("done", "there already", "incomplete"):
        while (path := folder.sample(outcome.seed, "", len(structures), ".cif")).is_file():
            summary = folder.sample(outcome.seed, "summary_confidence_", len(structures), ".json")
            summaries.append(json.loads(summary.read_text(encoding="utf-8")))
            structures.append(path)
    return UnitResult(outcome.job, outcome.seed, outcome.state, outcome.detail, outcome.seconds,
                      tuple(structures), tuple(summaries))
