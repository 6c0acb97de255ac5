# SPDX-License-Identifier: Apache-2.0
"""The engine `local`: one process for each device or share of cores, on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Pipe, wait

from protenix_ms.predict.engines.messages import News, Start
from protenix_ms.predict.engines.units import Unit

MODULE = "protenix_ms.cli.worker"
"""The program of a worker; it stands on the floor of commands."""

_PATIENCE = 15.0  # seconds that an interrupted worker has to put its files away
_LAST_WORDS = 200  # letters of the standard error of a process that died


class WorkerProcess:
    """One worker and the driver's end of its connection.

    Args:
        start: what it must know.
        cores: the cores it may use.
        device: number of its accelerator; None on the CPU.
    """

    def __init__(self, start: Start, cores: Sequence[int], device: int | None) -> None:
        self.connection, theirs = Pipe()
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        environment = dict(os.environ)
        if device is not None:
            environment["ASCEND_RT_VISIBLE_DEVICES"] = str(device)
        command = [sys.executable, "-m", MODULE, str(theirs.fileno()),
                   ",".join(map(str, cores)), start.policy.device]
        self.process = subprocess.Popen(  # a session of its own: Ctrl-C reaches the driver alone
            command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
            stdout=self._words, stderr=self._words, start_new_session=True)
        theirs.close()
        self._send(start)

    def give(self, unit: Unit) -> None:
        """Queue a unit."""
        self._send(unit)

    def receive(self) -> Iterator[News]:
        """Yield what came; when the connection ends, why the process ended."""
        try:
            while self.connection.poll():
                yield self.connection.recv()
        except (EOFError, OSError):
            self.connection.close()
            self.finish(time.monotonic() + _PATIENCE)
            yield News("end", self._reason())

    def kill(self) -> None:
        """End the process and its children at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Close the connection, which ends the process; a unit that runs is interrupted."""
        self.connection.close()

    def finish(self, deadline: float) -> None:
        """Wait for the end of the process until a time of the monotonic clock, then force it."""
        try:
            self.process.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()

    def _send(self, message: Start | Unit) -> None:
        with suppress(OSError):  # its end is news of its own
            self.connection.send(message)

    def _reason(self) -> str:
        code = self.process.returncode
        if code < 0:
            name = signal.Signals(-code).name
            return f"killed by {name}" + " (was memory short?)" * (code == -signal.SIGKILL)
        self._words.seek(0)
        lines = self._words.read().decode("utf-8", "replace").split("\n")
        last = [line.strip() for line in lines if line.strip()][-1:]
        return f"ended with code {code}" + "".join(f": {line[-_LAST_WORDS:]}" for line in last)


@dataclass
class LocalCrew:
    """Workers on this machine.

    Attributes:
        start_with: what each worker must know.
        cores: for each worker, the cores it may use.
        devices: for each worker, its accelerator; empty on the CPU.
    """

    start_with: Start
    cores: Sequence[Sequence[int]]
    devices: Sequence[int] = ()
    _workers: dict[int, WorkerProcess] = field(default_factory=dict)

    def start(self, worker: int) -> None:
        """Start a worker, or start it anew after its end."""
        device = self.devices[worker] if self.devices else None
        self._workers[worker] = WorkerProcess(self.start_with, self.cores[worker], device)

    def give(self, worker: int, unit: Unit) -> None:
        """Queue a unit."""
        self._workers[worker].give(unit)

    def news(self, seconds: float) -> Iterator[tuple[int, News]]:
        """Yield what workers said; wait for it at most so long."""
        numbers: dict[object, int] = {w.connection: n for n, w in self._workers.items()}
        for connection in wait(list(numbers), seconds):
            number = numbers[connection]
            for news in self._workers[number].receive():
                if news.kind == "end":
                    del self._workers[number]
                yield number, news

    def kill(self, worker: int) -> None:
        """End a worker at once."""
        self._workers[worker].kill()

    def close(self) -> None:
        """End all workers; those that do not heed by force."""
        for worker in self._workers.values():
            worker.close()
        deadline = time.monotonic() + _PATIENCE
        for worker in self._workers.values():
            worker.finish(deadline)
        self._workers.clear()


def share_cores(workers: int) -> list[list[int]]:
    """Divide the cores that this process may use; with more workers than cores they take turns."""
    cores = sorted(os.sched_getaffinity(0))
    if workers > len(cores):
        return [[cores[worker % len(cores)]] for worker in range(workers)]
    bounds = [worker * len(cores) // workers for worker in range(workers + 1)]
    return [cores[first:last] for first, last in zip(bounds, bounds[1:])]
