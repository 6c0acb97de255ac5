# SPDX-License-Identifier: Apache-2.0
"""Other processes that work for this one: started afresh, deaf to Ctrl-C, mourned in words."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from protenix_ms.errors import ResourceError


@contextmanager
def worker_pool(
    processes: int, task: str, opened: Callable[..., None] | None = None, *arguments: Any
) -> Iterator[ProcessPoolExecutor]:
    """A pool that is gone when the block ends; what it has not begun is dropped.

    Processes are spawned, for a fork of a process that runs MindSpore hangs. Ctrl-C reaches the
    parent alone, which then ends the pool.

    Args:
        task: what the processes do, for the message when one dies.
        opened: called in every process at its start, with `arguments`.

    Raises:
        ResourceError: a process was killed.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        processes, mp_context=context, initializer=_start, initargs=(opened, arguments)
    )
    try:
        yield pool
    except BrokenProcessPool:
        raise ResourceError(
            f"a process that {task} died",
            fix="most often memory ran out: use fewer processes; what is done is kept",
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(opened: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if opened is not None:
        opened(*arguments)
