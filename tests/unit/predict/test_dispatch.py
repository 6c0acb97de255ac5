# SPDX-License-Identifier: Apache-2.0
"""Units among workers that die, hang, or find another driver at work; no process is started."""

from collections import deque

import pytest

from protenix_ms.errors import CheckpointError, ResourceError
from protenix_ms.job import Job
from protenix_ms.predict.batch import Outcome
from protenix_ms.predict.engines import dispatch
from protenix_ms.predict.engines.dispatch import Dispatcher
from protenix_ms.predict.engines.messages import News
from protenix_ms.predict.engines.units import Unit


class FakeCrew:
    """Runs a unit at each call of `news`; `fate` tells the end of (unit's name, attempt)."""

    def __init__(self, fate=None, starts=True):
        self.fate, self.starts = fate or {}, starts
        self.units, self.started, self.pending, self.attempts = {}, [], deque(), []
        self.killed = []

    def start(self, worker):
        self.started.append(worker)
        self.units[worker] = deque()
        self.pending.append((worker, News("ready") if self.starts else News("end", "ended")))

    def give(self, worker, unit):
        self.units[worker].append(unit)

    def news(self, seconds):
        if self.pending:
            yield self.pending.popleft()
            return
        for worker, units in list(self.units.items()):
            if units:
                yield from self.run(worker, units)

    def run(self, worker, units):
        unit = units[0]
        end = self.end_of(unit)
        if end == "hangs":
            return
        self.attempts.append(unit.name)
        if end == "dies":
            self.units[worker] = deque()
            yield worker, News("end", "was killed")
        else:
            units.popleft()
            yield worker, News("outcome", Outcome(unit.job.name, unit.seed, end))

    def kill(self, worker):
        self.killed.append(worker)
        self.attempts.append(self.units[worker][0].name)
        self.units[worker] = deque()
        self.pending.append((worker, News("end", "was killed by the dispatcher")))

    def close(self):
        self.units.clear()

    def end_of(self, unit):
        """Return the fate of a unit's present attempt."""
        attempt = sum(name == unit.name for name in self.attempts)
        return self.fate.get((unit.name, attempt), "done")


def units(*names):
    return [Unit(Job(name, ()), 1, 1.0) for name in names]


def run(crew, names, count=2):
    lines, running = [], []
    dispatcher = Dispatcher(
        crew, count, lambda unit: -1.0 if crew.end_of(unit) == "hangs" else 1e9, lines.append,
        lines.append, running.append)
    ends = [(o.job, o.state) for _, o in dispatcher.run(units(*names))]
    return ends, lines, running


def test_every_unit_ends_once_in_the_order_given():
    crew = FakeCrew()
    ends, _, running = run(crew, "abcdef")
    assert sorted(ends) == [(name, "done") for name in "abcdef"]
    assert crew.attempts[:2] == ["a, seed 1", "b, seed 1"] and crew.started == [0, 1]
    assert max(map(len, running)) == 2


def test_no_more_workers_than_units():
    crew = FakeCrew()
    run(crew, "a", count=8)
    assert crew.started == [0]


def test_a_second_unit_waits_at_a_worker_only_while_others_have_a_first():
    crew = FakeCrew()
    given = []
    give = crew.give
    crew.give = lambda worker, unit: (given.append((worker, unit.job.name)), give(worker, unit))
    run(crew, "abc")
    assert given[:2] == [(0, "a"), (1, "b")] and len(given) == 3


@pytest.mark.parametrize("end", ["dies", "hangs"])
def test_a_unit_is_tried_once_more(end):
    crew = FakeCrew({("a, seed 1", 0): end})
    ends, lines, _ = run(crew, "abcd")
    assert sorted(ends) == [(name, "done") for name in "abcd"]
    assert any("a, seed 1: its worker" in line and "tried once more" in line for line in lines)


def test_the_unit_that_waits_at_a_dead_worker_is_not_blamed():
    fate = {("a, seed 1", n): "dies" for n in range(2)}
    ends, lines, _ = run(FakeCrew(fate), "abcdef", count=1)
    assert dict(ends) == {"a": "failed", **dict.fromkeys("bcdef", "done")}
    assert not any("b, seed" in line for line in lines)


def test_a_unit_that_ends_two_workers_fails_by_name(monkeypatch):
    fate = {("b, seed 1", n): "dies" for n in range(2)}
    crew = FakeCrew(fate)
    ends, lines, _ = run(crew, "abc")
    assert dict(ends) == {"a": "done", "b": "failed", "c": "done"}
    assert "b, seed 1: failed: its worker was killed, 2 times" in lines
    assert len(crew.started) >= 3


def test_a_unit_of_another_driver_comes_last_and_waits():
    crew = FakeCrew({("a, seed 1", 0): "busy"})
    seen = []
    give = crew.give
    crew.give = lambda worker, unit: (seen.append((unit.job.name, unit.patience)),
                                      give(worker, unit))
    ends, _, _ = run(crew, "abcd", count=1)
    assert sorted(ends) == [(name, "done") for name in "abcd"]
    assert seen[-1] == ("a", dispatch.PATIENCE) and seen[0] == ("a", 0.0)


def test_a_unit_that_stays_busy_is_said_so():
    crew = FakeCrew({("a, seed 1", n): "busy" for n in range(2)})
    assert run(crew, "a")[0] == [("a", "busy")]


def test_workers_that_never_start_end_the_panel():
    with pytest.raises(ResourceError, match="no worker starts"):
        run(FakeCrew(starts=False), "ab")


def test_refused_weights_end_the_panel():
    crew = FakeCrew()
    parts = ("is damaged", "w.safetensors", "fetch it", ())
    crew.start = lambda worker: crew.pending.append((worker, News("refused", parts)))
    crew.give = lambda worker, unit: None
    with pytest.raises(CheckpointError, match="w.safetensors: is damaged; fetch it"):
        run(crew, "a")
