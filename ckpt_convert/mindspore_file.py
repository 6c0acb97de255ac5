# SPDX-License-Identifier: Apache-2.0
"""MindSpore's `.ckpt`: protocol-buffer records `{tag, tensor {dims, tensor_type, content}}`.

Read and written here, so that nothing but numpy is loaded and one tensor is in memory at a time;
tests hold both directions against `mindspore.load_checkpoint` and `save_checkpoint`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ckpt_convert.dtypes import MINDSPORE, itemsize, stored, widen
from ckpt_convert.safetensors_file import Column
from ckpt_convert.tensor_table import TensorTable
from protenix_ms.errors import CheckpointError

_TAG = {name: tag for tag, name in MINDSPORE.items()}
_VARINT, _BYTES = 0, 2
MAX_RECORDS = 100_000  # a base model has 4174
_TRAILER = b"crc_num"  # optional last 17 bytes: this word and a checksum


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def _sized(field: int, length: int) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(length)


def write(file: BinaryIO, tensors: Sequence[Column], read: Callable[[str], np.ndarray],
          metadata: dict[str, str]) -> None:
    """Stream tensors into a file; the format has no place for `metadata`."""
    for name, dtype, shape in tensors:
        size = prod(shape) * itemsize(dtype)
        kind, tag = MINDSPORE[dtype].encode(), name.encode("utf-8")
        dims = b"".join(_varint(1 << 3 | _VARINT) + _varint(n) for n in shape)
        inner = dims + _sized(2, len(kind)) + kind + _sized(3, size)
        outer = _sized(1, len(tag)) + tag + _sized(2, len(inner) + size) + inner
        file.write(_sized(1, len(outer) + size) + outer)
        file.write(np.ascontiguousarray(read(name)).reshape(-1).view(np.uint8))


class _Fields:
    """Fields of one message between two positions of the file."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self.file, self.end = file, end

    def varint(self) -> int:
        value = 0
        for shift in range(0, 63, 7):
            byte = self.file.read(1)
            if not byte or self.file.tell() > self.end:
                raise ValueError("a record ends too early")
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return value
        raise ValueError("an absurdly large number")

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """(field, value, end): a number, or the start and the end of a piece to be skipped."""
        while self.file.tell() < self.end:
            key = self.varint()
            field, wire, value = key >> 3, key & 7, self.varint()
            if wire == _VARINT:
                yield field, value, -1
                continue
            start = self.file.tell()
            if wire != _BYTES or start + value > self.end:
                raise ValueError("a record is no tensor or reaches beyond the file")
            yield field, start, start + value
            self.file.seek(start + value)


class MindSporeCheckpoint(TensorTable):
    """A `Checkpoint` (see `read.py`) of a `.ckpt` written by us or by `save_checkpoint`."""

    kind = "MindSpore"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("rb")
        self.saved_as = ""
        self.records = 0
        self.table: dict[str, tuple[str, tuple[int, ...], list[tuple[int, int]]]] = {}
        try:
            end = os.fstat(self.file.fileno()).st_size
            if end > 17:
                self.file.seek(end - 17)
                end -= 17 if self.file.read(7) == _TRAILER else 0
            self.file.seek(0)
            for field, start, stop in _Fields(self.file, end):
                if field != 1 or stop < 0:
                    raise ValueError("a record that is no tensor")
                self._record(start, stop)
            for name, (dtype, shape, pieces) in self.table.items():
                size = sum(stop - start for start, stop in pieces)
                if size != prod(shape) * itemsize(dtype):
                    raise ValueError(f"tensor {ascii(name[:120])} has {size} bytes for {shape}")
        except (ValueError, KeyError) as error:
            self.file.close()
            raise CheckpointError(f"the MindSpore checkpoint cannot be read: {error}",
                                  where=path.name, fix="write the file again") from error

    def _text(self, start: int, stop: int) -> str:
        if stop - start > 4096:
            raise ValueError("a name of over 4096 bytes")
        self.file.seek(start)
        return self.file.read(stop - start).decode("utf-8")

    def _record(self, start: int, stop: int) -> None:
        name, dtype, dims, content = "", "", [], (0, 0)
        for field, begin, end in _Fields(self.file, stop):
            if field == 1 and end >= 0:
                name = self._text(begin, end)
            elif field == 2 and end >= 0:
                dtype, dims, content = self._tensor(begin, end)
            else:
                raise ValueError("a record that is no tensor")
        self.records += 1
        if self.records > MAX_RECORDS:
            raise ValueError(f"more than {MAX_RECORDS} records")
        known = self.table.setdefault(name, (dtype, tuple(dims), []))
        if known[:2] != (dtype, tuple(dims)):
            raise ValueError(f"tensor {ascii(name[:120])} stands twice")
        known[2].append(content)  # tensors over 512 MB are cut into pieces

    def _tensor(self, start: int, stop: int) -> tuple[str, list[int], tuple[int, int]]:
        dtype, dims, content = "", [], (0, 0)
        self.file.seek(start)
        for field, value, end in _Fields(self.file, stop):
            if field == 1 and end < 0 and len(dims) < 32 and value < 2**40:
                dims.append(value)
            elif field == 2 and end >= 0:
                kind = self._text(value, end)
                if kind not in _TAG:
                    raise ValueError(f"the unknown type {ascii(kind[:40])}")
                dtype = _TAG[kind]
            elif field == 3 and end >= 0:
                content = (value, end)
            else:
                raise ValueError("a record that is no tensor")
        return dtype, dims, content

    def read(self, name: str) -> np.ndarray:
        """The tensor as a new array, see `Checkpoint.read`.

        Raises:
            CheckpointError: the file became shorter.
        """
        dtype, shape, pieces = self.table[name]
        raw = np.empty(prod(shape) * itemsize(dtype), np.uint8)
        at = 0
        for start, stop in pieces:
            self.file.seek(start)
            if self.file.readinto(memoryview(raw)[at : at + stop - start]) != stop - start:
                raise CheckpointError("the file became shorter while it was read",
                                      where=self.path.name, fix="write it again")
            at += stop - start
        return widen(raw.view(stored(dtype)), dtype).reshape(shape)

    def close(self) -> None:
        self.file.close()
