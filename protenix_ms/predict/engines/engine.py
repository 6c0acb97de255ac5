# SPDX-License-Identifier: Apache-2.0
"""The choice of an engine: how many workers, on which devices, of this machine or of a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from protenix_ms.errors import ConfigError
from protenix_ms.job import Job
from protenix_ms.predict.batch import Outcome
from protenix_ms.predict.engines.messages import Crew, Start
from protenix_ms.predict.engines.panel import Panel, PanelReporter, choose_count, worker_policy
from protenix_ms.predict.engines.process import LocalCrew, share_cores
from protenix_ms.predict.engines.units import Shard
from protenix_ms.predict.settings import Settings
from protenix_ms.runtime.policy import Policy

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Engine:
    """Says by which workers jobs run.

    Attributes:
        name: "local" or "ray".
        workers: their number; None: one a device, on the CPU see `panel.choose_count`.
        devices: accelerators of this machine, one worker each.
        address: of a Ray cluster; None starts one on this machine.
        silence: seconds without news after which a worker counts as hung; None: see `Panel`.
    """

    name: str = "local"
    workers: int | None = None
    devices: tuple[int, ...] = ()
    address: str | None = None
    silence: float | None = None

    def require_sound(self, device: str) -> None:
        """Refuse choices that exclude each other. Raises ConfigError."""
        if self.name not in ENGINES:
            raise ConfigError(f"there is no engine {self.name!r}", where="--engine",
                              fix=f"choose {' or '.join(ENGINES)}")
        if self.address and self.name != "ray":
            raise ConfigError("only the engine ray has an address", where="--address",
                              fix="add --engine ray")
        if self.devices and device != "Ascend":
            raise ConfigError("the CPU has no numbered devices", where="--devices",
                              fix="add --device Ascend, or use --workers")
        if self.devices and (self.name == "ray" or self.workers):
            raise ConfigError("it says how many workers there are, and is for --engine local",
                              where="--devices", fix="leave out --workers and --engine ray")

    def run(
        self, settings: Settings, policy: Policy, reporter: PanelReporter, jobs: Sequence[Job],
        shard: Shard = Shard(),  # noqa: B008 (frozen)
        publish: Callable[[Path], object] | None = None,
    ) -> Iterator[Outcome]:
        """Yield the outcome of every unit of the shard, as they come (see `Panel.run`)."""
        chosen = replace(self, devices=self._devices(settings.device))
        count = chosen.count(jobs, settings)
        if self.address is None:  # nodes of a cluster know their own memory
            policy = worker_policy(policy, count)
        part = f", part {shard.index} of {shard.count}" * (shard.count > 1)
        reporter.line(f"engine {self.name}: at most {count} worker{'s' * (count > 1)}{part}")
        panel = Panel(settings, policy, reporter, lambda start: chosen.crew(start, count), count,
                      shard, self.silence, publish)
        return panel.run(jobs)

    def count(self, jobs: Sequence[Job], settings: Settings) -> int:
        """Choose the number of workers. Raises ConfigError for more than there are devices."""
        if self.devices and (self.workers or 0) > len(self.devices):
            raise ConfigError(f"{self.workers} workers need as many devices, but there are "
                              f"{len(self.devices)}", where="--workers",
                              fix="name them: --devices 0-7")
        cores = len(os.sched_getaffinity(0))
        return self.workers or len(self.devices) or choose_count(jobs, settings, cores)

    def crew(self, start: Start, count: int) -> Crew:
        """Make the workers."""
        if self.name == "local":
            return LocalCrew(start, share_cores(count), self.devices)
        from protenix_ms.predict.engines.ray import RayCrew

        return RayCrew(start, count, self.address, len(share_cores(count)[0]))

    def _devices(self, device: str) -> tuple[int, ...]:
        """Return the devices that were named, else those that are visible to this process."""
        if self.devices or device != "Ascend" or self.name != "local":
            return self.devices
        visible = os.environ.get("ASCEND_RT_VISIBLE_DEVICES", "0")
        return tuple(int(number) for number in visible.split(",") if number.strip().isdecimal())
