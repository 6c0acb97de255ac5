# SPDX-License-Identifier: Apache-2.0
"""Gives units to workers, and sees to it that each ends once: with a result or a failure's name."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from protenix_ms.errors import CheckpointError, ResourceError
from protenix_ms.predict.batch import PATIENCE, Outcome
from protenix_ms.predict.engines.messages import Crew, News
from protenix_ms.predict.engines.units import Unit

_POLL = 1.0  # seconds between two looks at the clocks of workers
_ATTEMPTS = 2  # of a unit whose worker ends
_FALSE_STARTS = 3  # workers in a row that end before their model is loaded
_AT_HAND = 2  # units of a worker: the one that runs, and the next, whose features it makes


@dataclass
class Slot:
    """A worker as the dispatcher sees it: its units, the first of which runs, and its clock."""

    units: deque[Unit] = field(default_factory=deque)
    ready: bool = False
    heard: float = field(default_factory=time.monotonic)
    hung: str = ""


@dataclass
class Dispatcher:
    """Runs units by a crew.

    Attributes:
        crew: the workers.
        count: number of workers.
        limit: seconds without news after which a unit's worker counts as hung.
        line, defect: take a line of news, a traceback.
        running: called when the units that run have changed.
    """

    crew: Crew
    count: int
    limit: Callable[[Unit], float]
    line: Callable[[str], None]
    defect: Callable[[str], None]
    running: Callable[[list[Unit]], None]
    _slots: dict[int, Slot] = field(default_factory=dict)
    _queue: deque[Unit] = field(default_factory=deque)
    _attempts: Counter = field(default_factory=Counter)
    _false_starts: int = 0

    def run(self, units: Sequence[Unit]) -> Iterator[tuple[Unit, Outcome]]:
        """Yield the outcome of every unit, as they come.

        Raises:
            CheckpointError: the weights cannot be used.
            ResourceError: no worker starts.
        """
        self._queue.extend(units)
        left = len(units)
        for number in range(min(self.count, left)):
            self._start(number)
        while left:
            self._fill()
            for number, news in self.crew.news(_POLL):
                for unit, outcome in self._take(number, news):
                    left -= 1
                    yield unit, outcome
            self._end_hung()

    def at_work(self) -> list[Unit]:
        """List the units that run."""
        return [slot.units[0] for slot in self._slots.values() if slot.units and slot.ready]

    def _start(self, number: int) -> None:
        self._slots[number] = Slot()
        self.crew.start(number)

    def _fill(self) -> None:
        """Give every worker a unit, and a second one as long as none would lack a first."""
        for depth in range(1, _AT_HAND + 1):
            for number, slot in self._slots.items():
                enough = depth == 1 or len(self._queue) >= len(self._slots)
                if self._queue and enough and len(slot.units) < depth:
                    unit = self._queue.popleft()
                    if not slot.units:
                        slot.heard = time.monotonic()
                    slot.units.append(unit)
                    self.crew.give(number, unit)
        self.running(self.at_work())

    def _take(self, number: int, news: News) -> Iterator[tuple[Unit, Outcome]]:
        """Act on a worker's news; yield the unit that has ended by it."""
        slot = self._slots[number]
        slot.heard = time.monotonic()
        if news.kind == "line":
            self.line(news.content)
        elif news.kind == "defect":
            self.defect(news.content)
        elif news.kind == "refused":
            message, where, fix, remedies = news.content
            raise CheckpointError(message, where=where, fix=fix, remedies=remedies)
        elif news.kind == "ready":
            slot.ready, self._false_starts = True, 0
        elif news.kind == "outcome":
            ended = next(unit for unit in slot.units if (unit.job.name, unit.seed) == (
                news.content.job, news.content.seed))
            slot.units.remove(ended)
            yield from self._outcome(ended, news.content)
        elif news.kind == "end":
            yield from self._ended(number, slot, slot.hung or str(news.content))

    def _outcome(self, unit: Unit, outcome: Outcome) -> Iterator[tuple[Unit, Outcome]]:
        """Yield an outcome, but put a unit that another process works on behind all others."""
        if outcome.state == "busy" and not unit.patience:
            self._queue.append(replace(unit, patience=PATIENCE))
        else:
            yield unit, outcome

    def _ended(self, number: int, slot: Slot, reason: str) -> Iterator[tuple[Unit, Outcome]]:
        """Replace a worker; its first unit has used one attempt, the others none."""
        if not slot.ready:
            self._false_starts += 1
            if self._false_starts >= _FALSE_STARTS:
                raise ResourceError(f"no worker starts: the last one {reason}",
                                    fix="`protenix-ms doctor` checks the installation; without "
                                    "--engine the error shows in full")
            self._queue.extendleft(reversed(slot.units))
        elif slot.units:
            unit, *others = slot.units
            self._queue.extendleft(reversed(others))
            self._attempts[unit.name] += 1
            if self._attempts[unit.name] < _ATTEMPTS:
                self.line(f"{unit.name}: its worker {reason}; tried once more")
                self._queue.appendleft(unit)
            else:
                detail = f"its worker {reason}, {_ATTEMPTS} times"
                self.line(f"{unit.name}: failed: {detail}")
                yield unit, Outcome(unit.job.name, unit.seed, "failed", detail)
        self._start(number)

    def _end_hung(self) -> None:
        """Kill workers whose unit has not gone on for too long."""
        for number, slot in self._slots.items():
            if slot.units and slot.ready and not slot.hung:
                seconds = self.limit(slot.units[0]) + slot.units[0].patience
                if time.monotonic() - slot.heard > seconds:
                    slot.hung = f"was silent for {seconds:.0f} s and was ended"
                    self.crew.kill(number)
