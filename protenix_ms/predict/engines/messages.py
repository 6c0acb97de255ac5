# SPDX-License-Identifier: Apache-2.0
"""What driver, engine and workers say to each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from protenix_ms.predict.engines.units import Unit
from protenix_ms.predict.settings import Settings
from protenix_ms.runtime.policy import Policy


@dataclass(frozen=True)
class Start:
    """What a worker must know before its first unit.

    Attributes:
        settings: choices of the run.
        policy: device, number format, memory of one worker.
        content: `Settings.content`, made once by the driver.
        command: the driver's command line, for `run.json`.
    """

    settings: Settings
    policy: Policy
    content: Mapping[str, object]
    command: tuple[str, ...]

    @property
    def output(self) -> Path:
        return self.settings.output


@dataclass(frozen=True)
class News:
    """One piece of news of a worker.

    Attributes:
        kind: "ready": the model is loaded. "line": a line for the person. "stage": the unit went
            on. "outcome": the `Outcome` of the first unit given. "refused": the parts of a
            CheckpointError, no worker can start. "defect": a traceback. "end": the process is
            gone; content says why.
    """

    kind: Literal["ready", "line", "stage", "outcome", "refused", "defect", "end"]
    content: object = None


@runtime_checkable
class Crew(Protocol):
    """Workers of an engine, each with a number."""

    def start(self, worker: int) -> None:
        """Start a worker, or start it anew after its end."""

    def give(self, worker: int, unit: Unit) -> None:
        """Queue a unit; one whose worker is gone is lost, as "end" then says."""

    def news(self, seconds: float) -> Iterator[tuple[int, News]]:
        """Yield what workers said, each with its worker; wait for it at most so long."""

    def kill(self, worker: int) -> None:
        """End a worker at once; its "end" follows as news."""

    def close(self) -> None:
        """End all workers in an orderly way, those that do not heed by force."""
