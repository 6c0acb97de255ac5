# SPDX-License-Identifier: Apache-2.0
"""Many jobs and seeds with one model: resume, failures kept apart, results on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from protenix_ms.errors import CheckpointError, ProtenixError
from protenix_ms.job import Job
from protenix_ms.predict.api import load_predictor
from protenix_ms.predict.fingerprint import fingerprint
from protenix_ms.predict.memory import Size, estimate_bytes, require_memory
from protenix_ms.predict.notes import collect_notes, name_chains
from protenix_ms.predict.outputs import JobFolder, forget_seed, write_ranking, write_seed
from protenix_ms.predict.plots import can_plot, draw_seed
from protenix_ms.predict.predictor import Predictor, Progress
from protenix_ms.predict.record import write_record
from protenix_ms.predict.settings import Settings

# What a defect or a broken library raises; a job that meets one fails, the others go on.
DEFECTS = (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, OSError,
           RuntimeError, TypeError, ValueError)


@runtime_checkable
class Reporter(Protocol):
    """Who is told what happens."""

    def line(self, text: str) -> None:
        """One line of news."""

    def progress(self, job: str, seed: int) -> Progress:
        """A callback for the stages of one job and seed."""

    def defect(self, error: BaseException) -> None:
        """An error nobody foresaw: the place for a traceback."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job's seed: "done", "there already", "failed" or "interrupted"."""

    job: str
    seed: int | None
    state: str
    detail: str = ""
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class Batch:
    """The run of some jobs under one `Settings`.

    Attributes:
        settings: the choices.
        reporter: who is told.
        load: makes the predictor when the first unfinished seed comes.
    """

    settings: Settings
    reporter: Reporter
    load: Callable[[Settings], Predictor] = lambda s: load_predictor(
        s.config, s.weights, s.ccd, s.options)
    _predictor: Predictor | None = None
    _content: dict | None = None

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Every job with all its seeds; an interrupt ends the run and keeps what is finished.

        Raises:
            CheckpointError: the weights cannot be used, so nothing can start.
        """
        outcomes: list[Outcome] = []
        if self.settings.plots and not can_plot():
            self.reporter.line("no pictures: matplotlib is not installed (extra 'plot')")
        for job in jobs:
            folder = JobFolder(self.settings.output, job.name)
            for note in collect_notes(job, self.settings):
                self.reporter.line(f"{job.name}: {note}")
            mine = self._seeds(folder, job)
            outcomes += mine + self._finish(folder, job, mine)
            if mine[-1].state == "interrupted":
                break
        return outcomes

    def _seeds(self, folder: JobFolder, job: Job) -> list[Outcome]:
        """One job with its seeds; after an interrupt, wherever it comes, the last one says so."""
        seeds, mine = self.settings.seeds_of(job), []
        try:
            for seed in seeds:
                mine.append(self._outcome(folder, job, seed))
        except KeyboardInterrupt:
            seed = seeds[min(len(mine), len(seeds) - 1)]
            mine = [o for o in mine if o.seed != seed]
            mine.append(Outcome(job.name, seed, "interrupted", "finished seeds are kept"))
        return mine

    def _outcome(self, folder: JobFolder, job: Job, seed: int) -> Outcome:
        """One job and seed; errors become part of the outcome."""
        try:
            return self._seed(folder, job, seed)
        except CheckpointError:
            raise  # no job can run without weights
        except ProtenixError as error:
            detail = str(error)
        except DEFECTS as error:
            detail = f"{type(error).__name__}: {error or 'no message'}"
            self.reporter.defect(error)
        self.reporter.line(f"{job.name}, seed {seed}: failed: {detail}")
        return Outcome(job.name, seed, "failed", detail)

    def _seed(self, folder: JobFolder, job: Job, seed: int) -> Outcome:
        if self._content is None:
            self._content = self.settings.content()
        mark = fingerprint(job, seed, self._content)
        if not self.settings.overwrite and folder.finished(seed, mark):
            self.reporter.line(f"{job.name}, seed {seed}: there already")
            return Outcome(job.name, seed, "there already")
        forget_seed(folder, seed)
        predictor = self._loaded()
        example = predictor.featurize(job, seed)
        self._check_memory(job, example.features)
        progress = self.reporter.progress(job.name, seed)
        result = predictor.predict(job, seed, progress, example)
        if self.settings.plots and can_plot():
            draw_seed(folder, result, self.settings.label)
        write_seed(folder, result, self.settings.ccd, self.settings.label, mark,
                   self.settings.full_data)
        best = result.samples[0].summary
        self.reporter.line(
            f"{job.name}, seed {seed}: {_counted(len(result.samples), 'sample')} in "
            f"{sum(result.seconds.values()):.1f} s, best ranking score "
            f"{best['ranking_score']:.3f} (pLDDT {best['plddt']:.1f})"
        )
        return Outcome(job.name, seed, "done", seconds=result.seconds)

    def _loaded(self) -> Predictor:
        if self._predictor is None:
            self.reporter.line(f"loading {self.settings.config.model_name}: "
                               f"{self.settings.weights.label}")
            self._predictor = self.load(self.settings)
        return self._predictor

    def _check_memory(self, job: Job, features: dict) -> None:
        """Print the estimate, and refuse what cannot fit unless told otherwise."""
        config = self.settings.config
        n_token, n_atom = len(features["asym_id"]), len(features["atom_to_token_idx"])
        size = Size(n_token, n_atom, len(features["msa"]), config.sample_diffusion.N_sample)
        needed = estimate_bytes(config, size)
        self.reporter.line(f"{job.name}: {_counted(n_token, 'token')}, "
                           f"{_counted(n_atom, 'atom')}, "
                           f"{_counted(size.msa_rows, 'alignment row')}, "
                           f"about {needed / 1e9:.1f} GB of memory")
        if self.settings.check_memory:
            require_memory(config, size, job.name)

    def _finish(self, folder: JobFolder, job: Job, outcomes: list[Outcome]) -> list[Outcome]:
        """Ranking and `run.json` of a job over its finished seeds; a failure is an outcome."""
        kept = [o.seed for o in outcomes if folder.marker(o.seed).is_file()]
        if not kept:
            return []
        try:
            rows = write_ranking(folder, kept)
            if any(o.state in ("done", "interrupted") for o in outcomes):
                write_record(folder.path / "run.json", self._record(job, outcomes, rows))
        except (ProtenixError, *DEFECTS) as error:
            return [Outcome(job.name, None, "failed", f"ranking: {error}")]
        return []

    def _record(self, job: Job, outcomes: list[Outcome], rows: list[dict]) -> dict:
        settings = self.settings
        return {
            "job": job.name,
            "input": job.source,
            "model": settings.config.model_name,
            "random_weights": settings.weights.path is None,
            "weights_file": str(settings.weights.path or ""),
            "settings": self._content,
            "ccd_file": str(settings.ccd.path),
            "notes": list(collect_notes(job, settings)),
            "chains": name_chains(job),
            "seeds": {str(o.seed): {"state": o.state, "detail": o.detail, "seconds": o.seconds}
                      for o in outcomes},
            "best": rows[0] if rows else None,
        }


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
