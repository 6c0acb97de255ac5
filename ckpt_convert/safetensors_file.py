# SPDX-License-Identifier: Apache-2.0
"""safetensors: 8 bytes of header length, a JSON header, then the tensors one after the other.

Written here because the official package wants all tensors in memory at once; tests hold both
directions against it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ckpt_convert.dtypes import NUMPY, itemsize, stored, widen
from ckpt_convert.tensor_table import TensorTable
from protenix_ms.errors import CheckpointError

MAX_HEADER = 16 << 20  # bytes; a base model has 0.6 MB, the format allows 100 MB

# (name, dtype tag, shape)
Column = tuple[str, str, tuple[int, ...]]


def write(file: BinaryIO, tensors: Sequence[Column], read: Callable[[str], np.ndarray],
          metadata: dict[str, str]) -> None:
    """Stream tensors into a file; `read` gives the stored bits of one, see `dtypes.narrow`."""
    ordered = sorted(tensors, key=lambda t: -itemsize(t[1]))  # stable; keeps every start aligned
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    at = 0
    for name, dtype, shape in ordered:
        end = at + prod(shape) * itemsize(dtype)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for name, _, _ in ordered:
        file.write(np.ascontiguousarray(read(name)).reshape(-1).view(np.uint8))


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name stands twice")
    return table


class SafetensorsCheckpoint(TensorTable):
    """A `Checkpoint` (see `read.py`) of a safetensors file."""

    kind = "safetensors"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("rb")
        try:
            size = os.fstat(self.file.fileno()).st_size
            length = int.from_bytes(self.file.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                raise ValueError(f"its header claims {length} bytes in a file of {size}")
            header = json.loads(self.file.read(length).decode("utf-8"), object_pairs_hook=_unique)
            self.base = 8 + length
            self.metadata, self.table = self._table(header, size - self.base)
            self.saved_as = str(self.metadata.get("model", ""))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            self.file.close()
            reason = str(error) or type(error).__name__
            raise CheckpointError(f"the safetensors header cannot be read: {reason}",
                                  where=path.name, fix="write the file again") from error

    @staticmethod
    def _table(header: dict, room: int) -> tuple[dict, dict[str, tuple[str, tuple, int]]]:
        metadata = header.pop("__metadata__", {})
        table, spans = {}, []
        for name, row in header.items():
            dtype, shape, (start, end) = row["dtype"], tuple(row["shape"]), row["data_offsets"]
            label = ascii(name[:120])
            if dtype not in NUMPY:
                raise ValueError(f"tensor {label} has the unknown type {ascii(dtype)[:40]}")
            if len(shape) > 32 or any(type(n) is not int or n < 0 for n in (*shape, start, end)):
                raise ValueError(f"tensor {label} has sizes that are no natural numbers")
            if prod(max(n, 1) for n in shape) > 2**48:
                raise ValueError(f"tensor {label} is absurdly large")
            if end - start != prod(shape) * itemsize(dtype):
                raise ValueError(f"tensor {label} has {end - start} bytes for shape {shape}")
            table[name] = (dtype, shape, start)
            spans.append((start, end))
        spans.sort()
        ends = [0, *(end for _, end in spans)]
        if any(start != end for (start, _), end in zip(spans, ends)) or ends[-1] != room:
            raise ValueError("tensors overlap, leave gaps or do not fill the file")
        return metadata if type(metadata) is dict else {}, table

    def read(self, name: str) -> np.ndarray:
        """The tensor as a new array, see `Checkpoint.read`.

        Raises:
            CheckpointError: the file became shorter.
        """
        dtype, shape, start = self.table[name]
        raw = np.empty(prod(shape) * itemsize(dtype), np.uint8)
        self.file.seek(self.base + start)
        if self.file.readinto(memoryview(raw)) != raw.size:
            raise CheckpointError("the file became shorter while it was read",
                                  where=self.path.name, fix="write it again")
        return widen(raw.view(stored(dtype)), dtype).reshape(shape)

    def close(self) -> None:
        self.file.close()
