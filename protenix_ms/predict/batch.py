# SPDX-License-Identifier: Apache-2.0
"""Many jobs and seeds with one model: resume, failures kept apart, results on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from protenix_ms.errors import CheckpointError, OutputError, ProtenixError, explain
from protenix_ms.features.build import Example
from protenix_ms.job import Job
from protenix_ms.predict.duration import estimate_seconds, say_duration
from protenix_ms.predict.job_folder import BusyError, JobFolder, fingerprint, update_record
from protenix_ms.predict.memory import Size, estimate_bytes, least_size, require_memory
from protenix_ms.predict.notes import collect_notes, count_alignments, describe, name_chains
from protenix_ms.predict.outputs import write_ranking, write_seed
from protenix_ms.predict.plots import can_plot, draw_seed
from protenix_ms.predict.predictor import (
    Predictor,
    Progress,
    SeedResult,
    featurize,
    load_predictor,
)
from protenix_ms.predict.saved import require_space, saved_bytes, write_saved
from protenix_ms.predict.settings import Settings
from protenix_ms.predict.templates import (
    most_templates,
    template_content,
    template_lines,
    template_record,
)
from protenix_ms.runtime.resources import forget_shapes

# What a defect or a broken library raises; a job that meets one fails, the others go on.
DEFECTS = (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, OSError,
           RuntimeError, TypeError, ValueError)
PATIENCE = 10.0  # seconds for another process to finish a seed, once all others are done
_RANKING_PATIENCE = 60.0  # for another process to write what all seeds of a job share


@runtime_checkable
class Reporter(Protocol):
    """Receives news of a run."""

    def line(self, text: str) -> None:
        """Take one line of news."""

    def expect(self, plan: Mapping[str, float]) -> None:
        """Take the seconds that the stages of the next job and seed will take."""

    def progress(self, job: str, seed: int) -> Progress:
        """Return a callback for the stages of one job and seed."""

    def defect(self, error: BaseException) -> None:
        """Take an error that nobody foresaw; a traceback may be shown."""


@dataclass(frozen=True)
class Outcome:
    """The end of a job's seed.

    "done", "there already", "incomplete" (some samples are lost), "failed", "interrupted", "busy".
    """

    job: str
    seed: int | None
    state: str
    detail: str = ""
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class Batch:
    """Runs jobs one after the other under one `Settings`.

    Attributes:
        settings: the choices.
        reporter: where news goes.
        load: makes the predictor when the first unfinished seed comes.
        featurize: makes the model's inputs of a job and seed; needs no predictor.
        publish: makes a page in the folder of a job when all else is written; None: no page.
        content: `Settings.content`, which takes long for large weights; None: made when needed.
    """

    settings: Settings
    reporter: Reporter
    load: Callable[[Settings], Predictor] = lambda s: replace(load_predictor(
        s.config, s.weights, s.ccd, s.options), save=s.save)
    featurize: Callable[[Settings, Job, int], Example] = lambda s, job, seed: featurize(
        job, seed, s.ccd, s.options)
    publish: Callable[[Path], object] | None = None
    content: dict | None = None
    _predictor: Predictor | None = None

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Run every job with all its seeds; an interrupt ends the run and keeps what is finished.

        Raises:
            CheckpointError: the weights cannot be used, so nothing can start.
        """
        outcomes: list[Outcome] = []
        self.announce_plots()
        for job in jobs:
            self.announce(job)
            mine = self._seeds(job)
            outcomes += mine + self.finish(job, mine)
            if any(o.state == "interrupted" for o in outcomes):
                break
        return outcomes

    def announce_plots(self) -> None:
        """Say that pictures cannot be drawn, where they are wanted."""
        if self.settings.plots and not can_plot():
            self.reporter.line("no pictures: matplotlib is not installed (extra 'plot')")

    def announce(self, job: Job) -> None:
        """Say what of a job is read differently from how it is written, or not used."""
        for note in (*collect_notes(job, self.settings),
                     *template_lines(job, self.settings.options)):
            self.reporter.line(f"{job.name}: {note}")

    def finish(self, job: Job, outcomes: list[Outcome]) -> list[Outcome]:
        """Write what all seeds of a job share, after their outcomes; return what went wrong."""
        folder = self._folder(job)
        return self._finish(folder, job, outcomes) + self._publish(folder)

    def finished(self, job: Job, seed: int) -> Outcome | None:
        """Return the outcome of a seed that is whole on disk under these settings, else None."""
        try:
            if self.settings.overwrite:
                return None
            if self._folder(job).flaw(seed, self._mark(job, seed)) is not None:
                return None
        except (ProtenixError, *DEFECTS):
            return None  # whoever runs it says why
        state, detail = self._whole(self._folder(job), seed)
        return Outcome(job.name, seed, "there already" if state == "done" else state, detail)

    def _folder(self, job: Job) -> JobFolder:
        return JobFolder(self.settings.output, job.name)

    def _seeds(self, job: Job) -> list[Outcome]:
        """Run one job with its seeds, last those that another process works on.

        After an interrupt, wherever it comes, one of them says so.
        """
        seeds: tuple[int, ...] = self.settings.seeds_of(job)
        mine: dict[int, Outcome] = {}
        try:
            for seed in seeds:
                mine[seed] = self.attempt(job, seed)
            for seed in (s for s in seeds if mine[s].state == "busy"):
                mine[seed] = self.attempt(job, seed, PATIENCE)
        except KeyboardInterrupt:
            left = [s for s in seeds if s not in mine or mine[s].state == "busy"]
            seed = (*left, seeds[-1])[0]
            mine[seed] = Outcome(job.name, seed, "interrupted", "finished seeds are kept")
        return [mine[seed] for seed in seeds if seed in mine]

    def attempt(self, job: Job, seed: int, patience: float = 0.0) -> Outcome:
        """Run one job and seed; errors become part of the outcome.

        Args:
            patience: seconds to wait for another process that works on it.

        Raises:
            CheckpointError: the weights cannot be used.
        """
        folder, state = self._folder(job), "failed"
        try:
            with folder.lock(seed, patience):
                return self._seed(folder, job, seed)
        except CheckpointError:
            raise  # no job can run without weights
        except BusyError as error:
            state, detail = "busy", str(error)
        except ProtenixError as error:
            detail = str(error)
        except DEFECTS as error:
            detail = explain(error)
            self.reporter.defect(error)
        finally:
            if self._predictor is not None:
                forget_shapes()
        self.reporter.line(f"{job.name}, seed {seed}: {state}: {detail}")
        return Outcome(job.name, seed, state, detail)

    def _mark(self, job: Job, seed: int) -> str:
        if self.content is None:
            self.content = self.settings.content()
        templates = template_content(job, self.settings.options)
        chosen: dict[str, object] = {"templates": templates} if templates else {}
        if self.settings.language_model is not None:
            chosen["language_model"] = self.settings.language_model.content(job)
        return fingerprint(job, seed, self.content | chosen)

    def _seed(self, folder: JobFolder, job: Job, seed: int) -> Outcome:
        mark = self._mark(job, seed)
        flaw = "" if self.settings.overwrite else folder.flaw(seed, mark)
        if flaw is None:
            state, detail = self._whole(folder, seed)
            state = "there already" if state == "done" else state
            self.reporter.line(f"{job.name}, seed {seed}: {detail or state}")
            return Outcome(job.name, seed, state, detail)
        if flaw:
            self.reporter.line(f"{job.name}, seed {seed}: made again, since {flaw}")
        folder.forget(seed)
        config = self.settings.config
        if self.settings.check_memory:  # features of a huge job would take all memory themselves
            require_memory(config, least_size(job, config.sample_diffusion.N_sample), job.name)
        example = self.featurize(self.settings, job, seed)
        vectors = self.settings.language_model
        if vectors is not None:  # under the job's own name, after which files may be named
            example.features.update(vectors.features(job, example.tokens))
        plan = self._announce(job, example.features)
        self._check_space(folder, job, len(example.features["asym_id"]))
        predictor = self.loaded()
        self.reporter.expect(plan)
        progress = self.reporter.progress(job.name, seed)
        result = predictor.predict(job, seed, progress, example)
        lost = "; ".join(result.lost.values())
        outcome = Outcome(job.name, seed, "incomplete" if lost else "done", lost, result.seconds)
        self._write(folder, result, outcome, mark)
        best = result.samples[0].summary
        self.reporter.line(
            f"{job.name}, seed {seed}: {_counted(len(result.samples), 'sample')} in "
            f"{sum(result.seconds.values()):.1f} s, best ranking score "
            f"{best['ranking_score']:.3f} (pLDDT {best['plddt']:.1f})"
            + (f"; lost: {lost}" if lost else "")
        )
        for constraint in best.get("constraints", ()):
            self.reporter.line(f"{job.name}, seed {seed}: {describe(constraint)}")
        return outcome

    def _whole(self, folder: JobFolder, seed: int) -> tuple[str, str]:
        """Tell state and detail of a finished seed: whether it has all samples, or lost some."""
        present = sum(1 for _ in folder.sample(seed, "", 0, ".cif").parent.glob("*.cif"))
        lost = self.settings.config.sample_diffusion.N_sample - present
        return ("incomplete", f"there already, but {_counted(lost, 'sample')} lost"
                ) if lost > 0 and present else ("done", "")

    def _write(self, folder: JobFolder, result: SeedResult, outcome: Outcome, mark: str) -> None:
        """Write all files of a seed, its entry in `run.json`, last its mark; or none of them."""
        try:
            if self.settings.plots and can_plot():
                draw_seed(folder, result, self.settings.label)
            write_seed(folder, result, self.settings.ccd, self.settings.label,
                       self.settings.full_data)
            write_saved(folder, result.seed, result.saved)
            with suppress(BusyError), folder.lock(None, _RANKING_PATIENCE):
                update_record(folder, self._record(result.job), {result.seed: _entry(outcome)})
            folder.mark(result.seed, mark)
        except OutputError:
            folder.forget(result.seed)  # half a result only fills the disk
            raise

    def loaded(self) -> Predictor:
        """Return the predictor, loaded at the first call. Raises CheckpointError."""
        if self._predictor is None:
            self.reporter.line(f"loading {self.settings.config.model_name}: "
                               f"{self.settings.weights.label}")
            self._predictor = self.load(self.settings)
        return self._predictor

    def _announce(self, job: Job, features: dict) -> dict[str, float]:
        """Print sizes, memory and time; refuse what cannot fit unless told otherwise.

        Returns:
            Seconds of every stage: right in proportion on every device, in themselves on the CPU.
        """
        config = self.settings.config
        n_token, n_atom = len(features["asym_id"]), len(features["atom_to_token_idx"])
        slots = most_templates(job, self.settings.options)
        size = Size(n_token, n_atom, len(features["msa"]), config.sample_diffusion.N_sample, slots)
        needed, plan = estimate_bytes(config, size), estimate_seconds(config, size)
        duration = f", {say_duration(sum(plan.values()))}" * (self.settings.device == "CPU")
        self.reporter.line(f"{job.name}: {_counted(n_token, 'token')}, "
                           f"{_counted(n_atom, 'atom')}, "
                           f"{_counted(size.msa_rows, 'alignment row')}, "
                           f"about {needed / 1e9:.1f} GB of memory{duration}")
        if self.settings.check_memory:
            require_memory(config, size, job.name)
        return plan

    def _publish(self, folder: JobFolder) -> list[Outcome]:
        """Make the page of a job with finished seeds; its failure is news and costs nothing."""
        try:
            if self.publish is not None and folder.seeds():
                self.publish(folder.path)
        except KeyboardInterrupt:
            return [Outcome(folder.name, None, "interrupted", "finished seeds are kept")]
        except (ProtenixError, *DEFECTS) as error:
            self.reporter.line(f"{folder.name}: no report: {explain(error)}")
            if not isinstance(error, ProtenixError):
                self.reporter.defect(error)
        return []

    def _check_space(self, folder: JobFolder, job: Job, n_token: int) -> None:
        """Print what is kept of the trunk, and refuse what the disk has no room for."""
        if save := self.settings.save:
            needed = saved_bytes(self.settings.config, n_token, save)
            self.reporter.line(f"{job.name}: {' and '.join(save)} take {needed / 1e9:.3f} GB per "
                               "seed")
            require_space(folder.path, needed, job.name)

    def _finish(self, folder: JobFolder, job: Job, outcomes: list[Outcome]) -> list[Outcome]:
        """Write ranking and `run.json` of a job over its finished seeds; a failure is an outcome.

        Seeds that other processes made under the same settings count too.
        """
        try:
            if not folder.seeds():
                return []
            with folder.lock(None, _RANKING_PATIENCE):
                finished = self._finished(folder, job)
                if finished:
                    rows = write_ranking(folder, finished, self.settings.rank_by,
                                         self.settings.known.get(job.name))
                    entries = {o.seed: _entry(o) for o in outcomes
                               if o.state in ("done", "incomplete", "failed", "interrupted")}
                    entries |= {s: _entry(Outcome(job.name, s, *self._whole(folder, s)))
                                for s in finished if s not in entries
                                or entries[s]["state"] != "incomplete"}
                    update_record(folder, self._record(job), entries, rows[0])
        except KeyboardInterrupt:
            again = self._finish(folder, job, outcomes)
            return [*again, Outcome(job.name, None, "interrupted", "finished seeds are kept")]
        except (ProtenixError, *DEFECTS) as error:
            return [Outcome(job.name, None, "failed", f"ranking: {explain(error)}")]
        return []

    def _finished(self, folder: JobFolder, job: Job) -> list[int]:
        """List the seeds on disk that are whole and of these settings; name the others."""
        finished, others = [], []
        for seed in folder.seeds():
            try:
                if folder.flaw(seed, self._mark(job, seed)) is None:
                    finished.append(seed)
            except OutputError:
                others.append(str(seed))
        if others:
            self.reporter.line(f"{job.name}: not ranked, since made of another input, "
                               f"configuration, weights or version: seed {', '.join(others)}")
        return finished

    def _record(self, job: Job) -> dict:
        settings = self.settings
        return {
            "job": job.name,
            "input": job.source,
            "model": settings.config.model_name,
            "random_weights": settings.weights.path is None,
            "weights_file": str(settings.weights.path or ""),
            "settings": self.content,
            "ccd_file": str(settings.ccd.path),
            "language_model": settings.language_model and settings.language_model.label(),
            "vectors": settings.language_model.content(job) if settings.language_model else [],
            "notes": list(collect_notes(job, settings)),
            "chains": name_chains(job),
            "templates": template_record(job, settings.options),
            "alignments": count_alignments(job) if settings.options.use_msa else [],
        }


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _entry(outcome: Outcome) -> dict:
    """Make the entry of a seed in `run.json`."""
    return {"state": outcome.state, "detail": outcome.detail, "seconds": outcome.seconds}
