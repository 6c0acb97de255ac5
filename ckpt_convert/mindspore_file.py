# SPDX-License-Identifier: Apache-2.0
"""MindSpore's `.ckpt`: protocol-buffer records `{tag, tensor {dims, tensor_type, content}}`.

Read and written here, because MindSpore would have to be loaded and would hold all tensors at
once. Tests compare both directions with `mindspore.load_checkpoint` and `save_checkpoint`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import BinaryIO

import numpy as np

from ckpt_convert.checkpoint import Checkpoint, Column
from ckpt_convert.dtypes import MINDSPORE, itemsize, stored, widen
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


class MindSporeCheckpoint(Checkpoint):
    """A `.ckpt` written by us or by `save_checkpoint`."""

    kind = "MindSpore"

    def list_tensors(self) -> None:
        """Fill `table`, see `Checkpoint`."""
        try:
            end = os.fstat(self.file.fileno()).st_size
            if end > 17:
                self.file.seek(end - 17)
                end -= 17 if self.file.read(7) == _TRAILER else 0
            self.file.seek(0)
            for number, record in enumerate(self._fields(end, {1: tuple})):
                if number == MAX_RECORDS:
                    raise ValueError(f"more than {MAX_RECORDS} records")
                self._add_record(*record[1])
            for name, (dtype, shape, pieces) in self.table.items():
                size = sum(stop - start for start, stop in pieces)
                if size != prod(shape) * itemsize(dtype):
                    raise ValueError(f"tensor {ascii(name[:120])} has {size} bytes for {shape}")
        except (ValueError, KeyError) as error:
            raise CheckpointError(f"the MindSpore checkpoint cannot be read: {error}",
                                  where=self.path.name, fix="write the file again") from error

    def _number(self, end: int) -> int:
        value = 0
        for shift in range(0, 63, 7):
            byte = self.file.read(1)
            if not byte or self.file.tell() > end:
                raise ValueError("a record ends too early")
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return value
        raise ValueError("an absurdly large number")

    def _fields(self, end: int, expected: dict[int, type]) -> Iterator[tuple[int, int | tuple]]:
        """Yield the fields of a message that ends at `end`, leaving the file behind each.

        Args:
            expected: by field, `int` or `tuple`: a number, or the bounds of some bytes.
        """
        while self.file.tell() < end:
            key, value = self._number(end), self._number(end)
            wire = {int: _VARINT, tuple: _BYTES}.get(expected.get(key >> 3))
            if wire is None or wire != key & 7:
                raise ValueError("a record that is no tensor")
            if wire == _VARINT:
                yield key >> 3, value
                continue
            start = self.file.tell()
            if start + value > end:
                raise ValueError("a record reaches beyond the file")
            yield key >> 3, (start, start + value)
            self.file.seek(start + value)

    def _text(self, start: int, stop: int) -> str:
        if stop - start > 4096:
            raise ValueError("a name of over 4096 bytes")
        self.file.seek(start)
        return self.file.read(stop - start).decode("utf-8")

    def _add_record(self, start: int, stop: int) -> None:
        """Enter a tensor, or a further piece of one: those over 512 MB are cut."""
        name, dtype, shape, content = "", "", [], (0, 0)
        self.file.seek(start)
        for field, bounds in self._fields(stop, {1: tuple, 2: tuple}):
            if field == 1:
                name = self._text(*bounds)
                continue
            self.file.seek(bounds[0])
            for inner, value in self._fields(bounds[1], {1: int, 2: tuple, 3: tuple}):
                if inner == 1:
                    shape.append(value)
                elif inner == 2:
                    kind = self._text(*value)
                    if kind not in _TAG:
                        raise ValueError(f"the unknown type {ascii(kind[:40])}")
                    dtype = _TAG[kind]
                else:
                    content = value
        if len(shape) > 32 or max(shape, default=0) >= 2**40:
            raise ValueError("a tensor of an absurd shape")
        known = self.table.setdefault(name, (dtype, tuple(shape), []))
        if known[:2] != (dtype, tuple(shape)):
            raise ValueError(f"tensor {ascii(name[:120])} stands twice")
        known[2].append(content)

    def read(self, name: str) -> np.ndarray:
        dtype, shape, pieces = self.table[name]
        return widen(self.read_pieces(pieces).view(stored(dtype)), dtype).reshape(shape)
