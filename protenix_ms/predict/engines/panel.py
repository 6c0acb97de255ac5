# SPDX-License-Identifier: Apache-2.0
"""A panel: many jobs, run by the workers of an engine, under one `Settings`."""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from protenix_ms.errors import ResourceError
from protenix_ms.job import Job
from protenix_ms.predict.batch import Batch, Outcome, Reporter
from protenix_ms.predict.duration import estimate_seconds
from protenix_ms.predict.engines.dispatch import Dispatcher
from protenix_ms.predict.engines.messages import Crew, Start
from protenix_ms.predict.engines.units import Shard, Unit, list_units
from protenix_ms.predict.memory import estimate_bytes, least_size, require_memory
from protenix_ms.predict.settings import Settings
from protenix_ms.runtime.policy import Policy, using
from protenix_ms.runtime.resources import available_bytes

GOOD = ("done", "there already")
_LEAST_LIMIT, _SLACK = 600.0, 20.0  # seconds of silence; times a unit's estimated seconds


@dataclass(frozen=True)
class Tally:
    """How far a panel is.

    Attributes:
        total, done, failed: numbers of units; those that were there already count as done.
        running: names of units that run.
        ended: number of units that workers have ended.
        seconds: since the first unit was given out.
        share: of the estimated work of the units that were not there already, from 0 to 1.
    """

    total: int
    done: int
    failed: int
    running: tuple[str, ...]
    ended: int
    seconds: float
    share: float


@runtime_checkable
class PanelReporter(Reporter, Protocol):
    """Receives news of a panel."""

    def tally(self, tally: Tally) -> None:
        """Take how far the panel is."""


@dataclass
class Panel:
    """Runs jobs by an engine.

    Attributes:
        settings: the choices.
        policy: device, number format and memory of one worker.
        reporter: where news goes.
        crew: makes the workers; called only if there is something to run.
        count: number of workers.
        shard: the part of all units to run.
        silence: seconds without news after which a worker counts as hung; None: by the unit's
            estimated duration, at least ten minutes.
        publish: see `Batch`.
    """

    settings: Settings
    policy: Policy
    reporter: PanelReporter
    crew: Callable[[Start], Crew]
    count: int
    shard: Shard = Shard()
    silence: float | None = None
    publish: Callable[[Path], object] | None = None
    _mine: dict[str, list[Outcome]] = field(default_factory=lambda: defaultdict(list))
    _open: Counter = field(default_factory=Counter)

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Yield the outcome of every unit of the shard; an interrupt ends the rest.

        Raises:
            CheckpointError: the weights cannot be used.
            ResourceError: no worker starts.
        """
        batch = Batch(self.settings, self.reporter, publish=self.publish,
                      content=self.settings.content())
        units = self.shard.part(list_units(jobs, self.settings))
        self._open.update(unit.job.name for unit in units)
        of_shard = [job for job in jobs if self._open[job.name]]
        batch.announce_plots()
        for job in of_shard:
            batch.announce(job)
        waiting = []
        for unit in units:
            if outcome := batch.finished(unit.job, unit.seed) or self._too_large(unit):
                said = ": ".join(filter(None, (outcome.state, outcome.detail)))
                self.reporter.line(f"{unit.name}: {said}")
                yield from self._end(batch, unit, outcome)
            else:
                waiting.append(unit)
        if waiting:
            yield from self._work(batch, waiting, len(units))

    def _work(self, batch: Batch, units: list[Unit], total: int) -> Iterator[Outcome]:
        """Run units by the crew, end it whatever happens, and name the units that were cut off."""
        start = Start(self.settings, self.policy, batch.content, tuple(sys.argv))
        crew, begin, cost = self.crew(start), time.monotonic(), sum(unit.cost for unit in units)
        left = {unit.name: unit for unit in units}

        def tell(running: list[Unit]) -> None:
            ended = Counter(o.state in GOOD for mine in self._mine.values() for o in mine)
            share = 1 - sum(unit.cost for unit in left.values()) / cost
            self.reporter.tally(Tally(total, ended[True], ended[False], tuple(
                unit.name for unit in running), len(units) - len(left),
                time.monotonic() - begin, share))

        dispatcher = Dispatcher(crew, self.count, self._limit, self.reporter.line,
                                self.reporter.line, tell)
        try:
            for unit, outcome in dispatcher.run(units):
                left.pop(unit.name)
                yield from self._end(batch, unit, outcome)
            tell([])
        except KeyboardInterrupt:
            running = {unit.name for unit in dispatcher.at_work()} & set(left)
            crew.close()  # before the ranking: a worker may be finishing a unit
            self.reporter.line(f"interrupted: {len(left)} of {total} units are not finished")
            for name, unit in left.items():
                detail = "finished seeds are kept" if name in running else "not started"
                outcome = batch.finished(unit.job, unit.seed) or Outcome(
                    unit.job.name, unit.seed, "interrupted", detail)
                yield from self._end(batch, unit, outcome)
        finally:
            crew.close()

    def _end(self, batch: Batch, unit: Unit, outcome: Outcome) -> Iterator[Outcome]:
        """Yield an outcome; after a job's last one of this shard, write what its seeds share."""
        name = unit.job.name
        self._mine[name].append(outcome)
        self._open[name] -= 1
        yield outcome
        if not self._open[name]:
            yield from batch.finish(unit.job, sorted(self._mine[name], key=lambda o: o.seed or 0))

    def _too_large(self, unit: Unit) -> Outcome | None:
        """Refuse a job that no worker has the memory for."""
        if self.settings.check_memory:
            config = self.settings.config
            size = least_size(unit.job, config.sample_diffusion.N_sample)
            try:
                with using(self.policy):
                    require_memory(config, size, unit.job.name)
            except ResourceError as error:
                needed = estimate_bytes(config, size) / 1e9  # what is there differs by run
                return Outcome(unit.job.name, unit.seed, "failed", f"needs about {needed:.1f} GB "
                               f"of memory, which no worker has; {error.fix}")
        return None

    def _limit(self, unit: Unit) -> float:
        if self.silence is not None:
            return self.silence
        config = self.settings.config
        size = least_size(unit.job, config.sample_diffusion.N_sample)
        return max(_LEAST_LIMIT, _SLACK * self.count * sum(estimate_seconds(config, size).values()))


def worker_policy(chosen: Policy, workers: int) -> Policy:
    """Give each worker its share of the memory that is free, unless one was chosen."""
    free = available_bytes()
    if chosen.memory is not None or free is None:
        return chosen
    return replace(chosen, memory=int(free / workers))


def choose_count(jobs: Sequence[Job], settings: Settings, cores: int) -> int:
    """Choose a number of workers for the CPU: one for each core, if the memory is enough.

    Two workers with a core each finish more small jobs an hour than one with both
    (docs/scaling.md); the largest job must fit into the share of each.
    """
    samples, free = settings.config.sample_diffusion.N_sample, available_bytes()
    if free is None:
        return cores
    needed = [estimate_bytes(settings.config, least_size(job, samples)) for job in jobs]
    largest = max((size for size in needed if size <= free), default=free)  # others are refused
    return max(1, min(cores, int(free // largest)))
