# SPDX-License-Identifier: Apache-2.0
"""The engine `ray`: each worker process is kept by an actor, which Ray puts on a node.

The folder of results is shared by all nodes. Ray is the extra `cluster`.
"""

from __future__ import annotations

import fcntl
import getpass
import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protenix_ms.errors import ResourceError, explain
from protenix_ms.predict.engines.messages import News, Start
from protenix_ms.predict.engines.process import WorkerProcess, share_cores
from protenix_ms.predict.engines.units import Unit

_WAIT = 1.0  # seconds that an actor waits for news before it answers that there are none
_QUIET = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_DEDUP_LOGS": "1",
          "RAY_USAGE_STATS_ENABLED": "0"}


class Keeper:
    """Keeps one worker process on a node of the cluster; an actor's class.

    Args:
        start: what the worker must know.
        cores: number of cores it may use.
    """

    def __init__(self, start: Start, cores: int) -> None:
        if not start.output.is_dir():
            raise ResourceError(f"the node {os.uname().nodename} does not see the folder of "
                                "results", where=str(start.output),
                                fix="choose an --output that all nodes share")
        number, self._claim = claim_cores(cores)
        self._worker = WorkerProcess(start, number, None)  # Ray has set the visible devices

    def give(self, unit: Unit) -> None:
        """Queue a unit."""
        self._worker.give(unit)

    def news(self) -> list[News]:
        """Wait a moment for news."""
        if not self._worker.connection.poll(_WAIT):
            return []
        return list(self._worker.receive())

    def kill(self) -> None:
        """End the process at once."""
        self._worker.kill()

    def close(self) -> None:
        """End the process in an orderly way."""
        self._worker.close()
        self._worker.finish(time.monotonic() + 15.0)


@dataclass
class RayCrew:
    """Workers in a Ray cluster, or in one that is started on this machine.

    Attributes:
        start_with: what each worker must know.
        count: number of workers.
        address: of the cluster, "auto" for the one this machine belongs to; None starts one.
        cores: of each worker.
    """

    start_with: Start
    count: int
    address: str | None = None
    cores: int = 1
    _ray: Any = None
    _folder: Path | None = None
    _shared: Any = None
    _actors: dict[int, Any] = field(default_factory=dict)
    _asked: dict[Any, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.address is None:  # sockets need short names
            self._folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
        self._ray = connect(self.address, self.count * self.cores, self._folder)
        self._shared = self._ray.put(self.start_with)

    def start(self, worker: int) -> None:
        """Start an actor with a worker, or start it anew after its end."""
        ray, accelerated = self._ray, self.start_with.policy.device == "Ascend"
        self._actors[worker] = ray.remote(
            num_cpus=self.cores, resources={"NPU": 1} if accelerated else None,
            concurrency_groups=dict.fromkeys(("units", "news", "end"), 1),
        )(Keeper).remote(self._shared, self.cores)
        self._ask(worker)

    def _ask(self, worker: int) -> None:
        news = self._actors[worker].news.options(concurrency_group="news")
        self._asked[news.remote()] = worker

    def give(self, worker: int, unit: Unit) -> None:
        """Queue a unit."""
        # a thread of its own: units keep their order, and do not wait for news
        self._actors[worker].give.options(concurrency_group="units").remote(unit)

    def news(self, seconds: float) -> Iterator[tuple[int, News]]:
        """Yield what workers said; wait for it at most so long."""
        answers, _ = self._ray.wait(list(self._asked), num_returns=1, timeout=seconds)
        for answer in answers:
            worker = self._asked.pop(answer)
            try:
                pieces = self._ray.get(answer)
            except self._ray.exceptions.RayError as error:
                pieces = [News("end", f"was lost with its actor ({_brief(error)})")]
            ended = any(news.kind == "end" for news in pieces)
            if ended:
                self._ray.kill(self._actors.pop(worker))
            else:
                self._ask(worker)
            yield from ((worker, news) for news in pieces)

    def kill(self, worker: int) -> None:
        """End a worker at once."""
        self._actors[worker].kill.options(concurrency_group="end").remote()

    def close(self) -> None:
        """End all workers and leave the cluster; one that was started here ends too."""
        if not self._ray.is_initialized():
            return
        ends = [actor.close.options(concurrency_group="end").remote()
                for actor in self._actors.values()]
        if ends:
            self._ray.wait(ends, num_returns=len(ends), timeout=20.0)
        for actor in self._actors.values():
            self._ray.kill(actor)
        self._actors.clear()
        self._asked.clear()
        self._ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def connect(address: str | None, cores: int, folder: Path | None) -> Any:
    """Join a cluster, or start one here with its files in `folder`; return the module.

    Raises:
        ResourceError: Ray is not installed, or there is no such cluster.
    """
    os.environ.update({key: os.environ.get(key, value) for key, value in _QUIET.items()})
    try:
        import ray
    except ImportError as error:
        raise ResourceError("the engine ray needs Ray, which is not installed", where="--engine",
                            fix='pip install "protenix-ms[cluster]", or --engine local') from error
    started: dict[str, Any] = {"address": address} if address else {
        "num_cpus": cores, "include_dashboard": False,
        "_temp_dir": str(folder)}
    before = signal.getsignal(signal.SIGTERM)
    try:  # without log_to_driver its tracebacks about devices without CANN stay in its own files
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **started)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ResourceError(f"no Ray cluster: {explain(error)[:300]}", where=address or "ray",
                            fix="start one with `ray start --head`, or leave out "
                            "--address") from error
    signal.signal(signal.SIGTERM, before)  # Ray's own would end this process at once
    return ray


def claim_cores(count: int) -> tuple[Sequence[int], object]:
    """Take cores of this node that no other worker has; Ray counts cores, but assigns none.

    Returns:
        The cores, and an open file that holds the claim until it is closed. Without a free share,
        all cores.
    """
    shares = share_cores(max(1, len(os.sched_getaffinity(0)) // count))
    folder = Path(tempfile.gettempdir()) / f"protenix_ms_cores_{getpass.getuser()}"
    folder.mkdir(exist_ok=True)
    for number, share in enumerate(shares):
        file = (folder / f"{count}_{number}").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return share, file
        except OSError:
            file.close()
    return sorted(os.sched_getaffinity(0)), None


def _brief(error: BaseException) -> str:
    """Name an error of Ray; of one that our code raised inside an actor, its sentence."""
    cause = getattr(error, "cause", None)
    return explain(cause) if cause is not None else type(error).__name__
