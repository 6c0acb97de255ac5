# SPDX-License-Identifier: Apache-2.0
"""Options of `predict` that say by which engine jobs run, and the view of a panel."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import TextIOBase
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from protenix_ms.cli.arguments import ranges, whole
from protenix_ms.cli.report import Console
from protenix_ms.errors import ProtenixError
from protenix_ms.job import Job
from protenix_ms.predict.duration import say_duration
from protenix_ms.predict.settings import Settings

if TYPE_CHECKING:  # these load MindSpore
    from protenix_ms.predict.batch import Outcome
    from protenix_ms.predict.engines.panel import Tally
    from protenix_ms.runtime.policy import Policy

ENGINES = ("local", "ray")
_MOST = 1024  # devices or workers
_PLAIN_SECONDS = 10.0
_OPTIONS = ("engine", "workers", "devices", "address", "shard", "worker_silence")


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    group = parser.add_argument_group("engines", "thousands of jobs, many devices; one of these "
                                      "options starts workers (see docs/scaling.md)")
    add = group.add_argument
    add("--engine", choices=ENGINES, help="local: processes on this machine (default); ray: actors "
        "in a Ray cluster")
    add("--workers", type=whole(1, _MOST), metavar="N",
        help="number of workers (default: one a device, on CPU one a core)")
    add("--devices", type=ranges("device", 0, _MOST, "0-7"), metavar="0-7",
        help="accelerators of this machine, one worker each")
    add("--address", metavar="auto|HOST:PORT", help="a Ray cluster that runs already")
    add("--shard", nargs="?", const="slurm", metavar="I/N",
        help="run the I-th of N parts; without a value, the part of this element of a Slurm array")
    add("--worker-silence", type=whole(1), metavar="SECONDS", help="a worker without news for so "
        "long is replaced (default: 20 times its unit's estimate, at least 600)")


def uses_engine(args: argparse.Namespace) -> bool:
    """Tell whether one of the options is there."""
    return any(getattr(args, name) is not None for name in _OPTIONS)


@dataclass(frozen=True)
class Ended:
    """What came of a panel.

    Attributes:
        outcomes: of the units of this shard.
        refused: jobs that this shard answers for.
    """

    outcomes: list[Outcome]
    refused: list[ProtenixError]


def run_panel(
    args: argparse.Namespace, settings: Settings, policy: Policy, jobs: list[Job],
    refused: list[ProtenixError], publish: Callable[[Path], object] | None,
) -> Ended:
    """Run jobs by the engine, and write the table of all jobs.

    Raises:
        ConfigError, CheckpointError, ResourceError: nothing can start.
    """
    from protenix_ms.predict.engines.engine import Engine
    from protenix_ms.predict.engines.summary import write_summary_table
    from protenix_ms.predict.engines.units import Shard

    engine = Engine(args.engine or "local", args.workers, args.devices or (), args.address,
                    args.worker_silence)
    engine.require_sound(args.device)
    shard = Shard.read(args.shard, os.environ) if args.shard else Shard()
    outcomes: list[Outcome] = []
    overview = Overview(args.quiet, args.debug)
    try:
        outcomes.extend(engine.run(settings, policy, overview, jobs, shard, publish))
    finally:
        overview.close()
    path = write_summary_table(settings, jobs, outcomes, refused)
    overview.line(f"table of all jobs: {path}")
    place = {job.name: number for number, job in enumerate(jobs)}
    return Ended(sorted(outcomes, key=lambda o: (place[o.job], o.seed or 0)),
                 shard.part(refused))


class Overview(Console):
    """One view over all workers: a bar on a terminal, elsewhere a line now and then."""

    def __init__(self, quiet: bool = False, debug: bool = False,
                 stream: TextIOBase | None = None) -> None:
        super().__init__(quiet, debug, stream)
        self._bar: tqdm | None = None
        self._last = time.monotonic()
        self._ended = -1

    def line(self, text: str) -> None:
        """Print news above the bar."""
        if self._bar is None:
            super().line(text)
        elif not self._quiet:
            self._bar.write(text, file=sys.stdout)

    def tally(self, tally: Tally) -> None:
        """Show how far the panel is, if that has changed or ten seconds have passed."""
        if self._quiet:
            return
        if self._stream.isatty():
            self._draw(tally)
        elif time.monotonic() - self._last >= _PLAIN_SECONDS and (
                tally.done + tally.failed != self._ended):
            self._last, self._ended = time.monotonic(), tally.done + tally.failed
            print(say_tally(tally), file=self._stream, flush=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _draw(self, tally: Tally) -> None:
        if self._bar is None:
            self._bar = tqdm(total=tally.total, file=self._stream, leave=False,
                             bar_format="|{bar:30}| {desc}")
        self._bar.set_description_str(say_tally(tally), refresh=False)
        self._bar.n = tally.done + tally.failed
        self._bar.refresh()


def say_tally(tally: Tally) -> str:
    """Say in one line how far a panel is, how fast it goes, and how long it will take."""
    text = (f"{tally.done} done, {tally.failed} failed, {len(tally.running)} running of "
            f"{tally.total}")
    if tally.share > 0:
        left = tally.seconds * (1 - tally.share) / tally.share
        text += f"; {tally.ended / tally.seconds * 3600:.0f} an hour"
        text += f", about {say_duration(left)} left" * (left >= 1)
    return text
