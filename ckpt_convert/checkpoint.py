# SPDX-License-Identifier: Apache-2.0
"""The form in which every kind of checkpoint file is read: named tensors, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ckpt_convert.dtypes import stored, widen
from protenix_ms.errors import CheckpointError

Column = tuple[str, str, tuple[int, ...]]  # name, dtype tag, shape
# Gives the stored bits of a tensor by its name: contiguous, see `dtypes.narrow`.
ReadBits = Callable[[str], np.ndarray]


def read_spans(file: BinaryIO, spans: Sequence[tuple[int, int]], where: str) -> np.ndarray:
    """Read and join the bytes between pairs of positions, uint8.

    Raises:
        CheckpointError: the file became shorter.
    """
    raw = np.empty(sum(stop - start for start, stop in spans), np.uint8)
    rest = memoryview(raw)
    for start, stop in spans:
        file.seek(start)
        if file.readinto(rest[:stop - start]) != stop - start:
            raise CheckpointError("the file became shorter while it was read", where=where,
                                  fix="write or fetch it again")
        rest = rest[stop - start:]
    return raw


class Checkpoint:
    """Named tensors of a file; not safe to share between threads.

    A reader of one format adds `list_tensors`, and `read` if its tensors are not plain bytes.

    Attributes:
        kind: the format, for people.
        saved_as: the model's name if the file tells it, else the name that torch saved it under.
        table: name without `module.` -> (type as safetensors calls it, shape, place in the file:
            spans of bytes unless the reader has its own `read`), in the order of the file.
    """

    kind = ""
    saved_as = ""

    def __init__(self, path: Path) -> None:
        self.table: dict[str, tuple] = {}
        with ExitStack() as on_failure:
            self.path, self.file = path, on_failure.enter_context(path.open("rb"))
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

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """List the shapes of all tensors by name."""
        return {name: shape for name, (_, shape, _) in self.table.items()}

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
        dtype, shape, spans = self.table[name]
        raw = read_spans(self.file, spans, self.path.name)
        return widen(raw.view(stored(dtype)), dtype).reshape(shape)

    def close(self) -> None:
        """Release the file."""
        self.file.close()
