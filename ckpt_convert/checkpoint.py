# SPDX-License-Identifier: Apache-2.0
"""The form in which every kind of checkpoint file is read: named tensors, one at a time."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from protenix_ms.errors import CheckpointError

# (name, dtype tag, shape)
Column = tuple[str, str, tuple[int, ...]]


class Checkpoint:
    """Named tensors of a file; not safe to share between threads.

    A reader of one format adds `list_tensors` and `read`.

    Attributes:
        kind: the format, for people.
        saved_as: the model's name if the file tells it, else the name that torch saved it under.
        table: name without `module.` -> (type as safetensors calls it, shape, place in the file),
            in the order of the file.
    """

    kind = ""
    saved_as = ""

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, path.open("rb")
        self.table: dict[str, tuple] = {}
        with ExitStack() as on_failure:
            on_failure.callback(self.file.close)
            self.list_tensors()
            on_failure.pop_all()

    def list_tensors(self) -> None:
        """Fill `table` from the open file.

        Raises:
            CheckpointError: the file is damaged or refused.
        """
        raise NotImplementedError

    def __contains__(self, name: str) -> bool:
        return name in self.table

    def names(self) -> list[str]:
        """List the names in the order of the file."""
        return list(self.table)

    def dtype(self, name: str) -> str:
        """Return the type in the file: `F32`, `BF16`, `F16`, `I64`, ..."""
        return self.table[name][0]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape, which is known without reading the tensor."""
        return self.table[name][1]

    def read(self, name: str) -> np.ndarray:
        """Read a tensor as a new contiguous array in native byte order.

        `BF16` comes as float32, which is exact.

        Raises:
            CheckpointError: the file became shorter, or its checksum fails.
        """
        raise NotImplementedError

    def read_pieces(self, pieces: list[tuple[int, int]]) -> np.ndarray:
        """Read and join the bytes between pairs of positions, uint8."""
        raw = np.empty(sum(stop - start for start, stop in pieces), np.uint8)
        done = 0
        for start, stop in pieces:
            self.file.seek(start)
            if self.file.readinto(memoryview(raw)[done : done + stop - start]) != stop - start:
                raise CheckpointError("the file became shorter while it was read",
                                      where=self.path.name, fix="write it again")
            done += stop - start
        return raw

    def close(self) -> None:
        """Release the file."""
        self.file.close()
