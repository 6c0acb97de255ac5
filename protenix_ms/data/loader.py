# SPDX-License-Identifier: Apache-2.0
"""Examples made ahead of time by other processes, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace

from protenix_ms.data.dataset import DataOptions, Drawn, TrainingData
from protenix_ms.data.transfer import Sparse, pack, unpack
from protenix_ms.data.workers import worker_pool
from protenix_ms.errors import ProtenixError
from protenix_ms.typing import Array


@dataclass(frozen=True)
class Loaded(Drawn):
    """What was drawn, and at which position of this rank's sequence."""

    position: int = 0


class Loader:
    """Examples from a position on; the same ones whatever the number of processes.

    The position to go on from after `Loaded` number p has been used is p + 1; that number is all
    that a checkpoint needs.

    Args:
        options: which examples.
        processes: that make examples; 0 makes them here, when asked.
        ahead: examples in the making or waiting.
    """

    def __init__(self, options: DataOptions, processes: int = 1, ahead: int = 4) -> None:
        self.options, self.processes, self.ahead = options, processes, max(1, ahead)

    def examples(self, start: int = 0) -> Iterator[Loaded]:
        """Examples number `start`, `start` + 1, ... without end; close the iterator to stop.

        Raises:
            InputError: the data are unusable.
            ResourceError: a process of the loader was killed.
        """
        if self.processes <= 0:
            return self._here(start)
        return self._elsewhere(start)

    def _here(self, position: int) -> Iterator[Loaded]:
        data = TrainingData(self.options)
        while True:
            drawn = data.example(position)
            yield Loaded(drawn.row, drawn.example, drawn.skipped, position)
            position += 1

    def _elsewhere(self, position: int) -> Iterator[Loaded]:
        waiting: deque[Future] = deque()
        with worker_pool(self.processes, "makes training examples", _open, self.options) as pool:
            while True:
                while len(waiting) < self.ahead:
                    waiting.append(pool.submit(_make, position + len(waiting)))
                packed, drawn = waiting.popleft().result()
                example = replace(drawn.example, features=unpack(packed))
                yield Loaded(drawn.row, example, drawn.skipped, position)
                position += 1


_data: list[TrainingData | ProtenixError] = []  # of this worker process


def _open(options: DataOptions) -> None:
    """Open the data; why that failed is told when the first example is asked for."""
    try:
        _data[:] = [TrainingData(options)]
    except ProtenixError as error:
        _data[:] = [error]


def _make(position: int) -> tuple[dict[str, Array | Sparse], Drawn]:
    """Packed features, and the rest without them."""
    (data,) = _data
    if isinstance(data, ProtenixError):
        raise data
    drawn = data.example(position)
    bare = replace(drawn.example, features={})
    return pack(drawn.example.features), replace(drawn, example=bare)
