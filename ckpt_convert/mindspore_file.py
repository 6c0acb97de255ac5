# SPDX-License-Identifier: Apache-2.0
"""MindSpore's `.ckpt`: protocol-buffer records `{tag, tensor {dims, tensor_type, content}}`.

Read and written here, because MindSpore would have to be loaded and would hold all tensors at
once. Tests compare both directions with `mindspore.load_checkpoint` and `save_checkpoint`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import prod
from typing import BinaryIO

from ckpt_convert.checkpoint import TYPES, Checkpoint, Column, ReadBits, itemsize, read_spans
from protenix_ms.errors import CheckpointError

_TAG = {row[3]: tag for tag, row in TYPES.items()}
_VARINT, _BYTES = 0, 2
# Keys of the fields that are read: number << 3 | wire type.
_RECORD = _NAME = 1 << 3 | _BYTES
_TENSOR = _TYPE = 2 << 3 | _BYTES
_SIZE, _CONTENT = 1 << 3 | _VARINT, 3 << 3 | _BYTES
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


def write(file: BinaryIO, tensors: Sequence[Column], read: ReadBits,
          metadata: dict[str, str]) -> None:
    """Stream tensors into a file; the format has no place for `metadata`."""
    for name, dtype, shape in tensors:
        size = prod(shape) * itemsize(dtype)
        kind, tag = TYPES[dtype][3].encode(), name.encode("utf-8")
        dims = b"".join(_varint(_SIZE) + _varint(n) for n in shape)
        inner = dims + _sized(2, len(kind)) + kind + _sized(3, size)
        outer = _sized(1, len(tag)) + tag + _sized(2, len(inner) + size) + inner
        file.write(_sized(1, len(outer) + size) + outer)
        file.write(read(name))


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
            for span in self._fields((0, end), _RECORD)[_RECORD]:
                self._add_record(span)
            for name, (dtype, shape, spans) in self.table.items():
                size = sum(stop - start for start, stop in spans)
                if size != prod(shape) * itemsize(dtype):
                    raise ValueError(f"tensor {ascii(name[:120])} has {size} bytes for {shape}")
        except ValueError as error:
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

    def _fields(self, span: tuple[int, int], *keys: int) -> dict[int, list]:
        """List the fields of the message in `span` by their keys: numbers, or spans of bytes."""
        start, stop = span
        fields: dict[int, list] = {key: [] for key in keys}
        self.file.seek(start)
        while self.file.tell() < stop:
            key, value = self._number(stop), self._number(stop)
            if key not in fields:
                raise ValueError("a record that is no tensor")
            if len(fields[key]) == MAX_RECORDS:
                raise ValueError(f"more than {MAX_RECORDS} records")
            if key & 7 == _BYTES:
                start = self.file.tell()
                if start + value > stop:
                    raise ValueError("a record reaches beyond the file")
                value = (start, start + value)
                self.file.seek(value[1])
            fields[key].append(value)
        return fields

    def _text(self, spans: list[tuple[int, int]]) -> str:
        if len(spans) != 1 or spans[0][1] - spans[0][0] > 4096:
            raise ValueError("a record without one name and one type of at most 4096 bytes")
        return read_spans(self.file, spans, self.path.name).tobytes().decode("utf-8")

    def _add_record(self, span: tuple[int, int]) -> None:
        """Enter a tensor, or a further piece of one: those over 512 MB are cut."""
        record = self._fields(span, _NAME, _TENSOR)
        if len(record[_TENSOR]) != 1:
            raise ValueError("a record that is no tensor")
        tensor = self._fields(record[_TENSOR][0], _SIZE, _TYPE, _CONTENT)
        name, kind, shape = self._text(record[_NAME]), self._text(tensor[_TYPE]), tensor[_SIZE]
        if kind not in _TAG:
            raise ValueError(f"the unknown type {ascii(kind[:40])}")
        if len(shape) > 32 or max(shape, default=0) >= 2**40:
            raise ValueError("a tensor of an absurd shape")
        column = (_TAG[kind], tuple(shape))
        known = self.table.setdefault(name, (*column, []))
        if known[:2] != column:
            raise ValueError(f"tensor {ascii(name[:120])} stands twice")
        known[2].extend(tensor[_CONTENT])
