# SPDX-License-Identifier: Apache-2.0
"""A worker: one loaded model that takes units from a connection until it closes.

While a unit is predicted, a thread makes the features of the next one.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from protenix_ms.errors import CheckpointError
from protenix_ms.features.build import Example
from protenix_ms.job import Job
from protenix_ms.predict.batch import Batch
from protenix_ms.predict.engines.messages import News, Start
from protenix_ms.predict.engines.units import Unit
from protenix_ms.predict.predictor import Progress, featurize
from protenix_ms.predict.settings import Settings

_QUIET = 0.5  # seconds between two reports of progress


@dataclass
class Line:
    """The worker's end of the connection: a `predict.batch.Reporter` that several threads use."""

    connection: Connection
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _last: float = 0.0

    def send(self, news: News) -> None:
        """Send news; a driver that is gone misses it, and the reader ends this process."""
        with self._lock:
            try:
                self.connection.send(news)
            except OSError:
                return

    def line(self, text: str) -> None:
        """Send a line for the person."""
        self.send(News("line", text))

    def expect(self, plan: Mapping[str, float]) -> None:
        """Tell that the features of a unit are made."""
        self.send(News("stage"))

    def progress(self, job: str, seed: int) -> Progress:
        """Return a callback that tells, not too often, that the unit goes on."""
        def tell(stage: str, done: int, total: int) -> None:
            if time.monotonic() - self._last >= _QUIET:
                self._last = time.monotonic()
                self.send(News("stage"))

        return tell

    def defect(self, error: BaseException) -> None:
        """Send the traceback of an error that nobody foresaw."""
        self.send(News("defect", "".join(traceback.format_exception(error))))


@dataclass
class Ahead:
    """Features of the units to come, made in the order of their coming by one thread."""

    start: Start
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    _examples: dict[tuple[str, int], Future] = field(default_factory=dict)

    def begin(self, unit: Unit) -> None:
        """Queue a unit."""
        settings = self.start.settings
        self._examples[unit.job.name, unit.seed] = self._pool.submit(
            featurize, unit.job, unit.seed, settings.ccd, settings.options)

    def take(self, settings: Settings, job: Job, seed: int) -> Example:
        """Wait for the features of a unit; raise what making them raised."""
        return self._examples[job.name, seed].result()

    def drop(self, unit: Unit) -> None:
        """Forget a unit that has ended, whether its features were wanted or not."""
        self._examples.pop((unit.job.name, unit.seed)).cancel()


def serve(connection: Connection, start: Start) -> None:
    """Load the model, then run units until the driver closes the connection.

    A driver that ends while a unit runs interrupts it: nobody waits for the rest.
    """
    line, ahead = Line(connection), Ahead(start)
    inbox: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_receive, args=(connection, inbox, ahead, busy), daemon=True).start()
    batch = Batch(start.settings, line, featurize=ahead.take, content=dict(start.content))
    busy.set()
    try:
        batch.loaded()
    except CheckpointError as error:
        line.send(News("refused", (error.message, error.where, error.fix, error.remedies)))
        return
    line.send(News("ready"))
    busy.clear()
    while (unit := inbox.get()) is not None:
        busy.set()
        outcome = batch.attempt(unit.job, unit.seed, unit.patience)
        ahead.drop(unit)
        line.send(News("outcome", outcome))
        busy.clear()


def _receive(connection: Connection, inbox: queue.SimpleQueue[Unit | None], ahead: Ahead,
             busy: threading.Event) -> None:
    """Take units from the driver; at its end, end too."""
    try:
        while True:
            unit = connection.recv()
            ahead.begin(unit)
            inbox.put(unit)
    except (EOFError, OSError):
        inbox.put(None)
        if busy.is_set():
            os.kill(os.getpid(), signal.SIGTERM)
