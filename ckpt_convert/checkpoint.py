# SPDX-License-Identifier: Apache-2.0
"""The form in which every kind of checkpoint file is read: named tensors, one at a time.

Element types have the tags of safetensors (`F32`, `BF16`, ...). numpy has no bfloat16: its 16 bits
are held as uint16, and widened to float32 (exactly) when read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np

from protenix_ms.errors import CheckpointError

# tag: numpy type of the stored bits (little-endian), type and storage in a PyTorch file, type in
# a MindSpore file
TYPES = {
    "F64": ("<f8", "float64", "Double", "Float64"), "F32": ("<f4", "float32", "Float", "Float32"),
    "F16": ("<f2", "float16", "Half", "Float16"),
    "BF16": ("<u2", "bfloat16", "BFloat16", "BFloat16"),
    "I64": ("<i8", "int64", "Long", "Int64"), "I32": ("<i4", "int32", "Int", "Int32"),
    "I16": ("<i2", "int16", "Short", "Int16"), "I8": ("|i1", "int8", "Char", "Int8"),
    "U64": ("<u8", "uint64", "", "UInt64"), "U32": ("<u4", "uint32", "", "UInt32"),
    "U16": ("<u2", "uint16", "", "UInt16"), "U8": ("|u1", "uint8", "Byte", "UInt8"),
    "BOOL": ("|b1", "bool", "Bool", "Bool"),
}
FLOATS = ("F64", "F32", "F16", "BF16")
NUMPY = {tag: row[0] for tag, row in TYPES.items()}

Column = tuple[str, str, tuple[int, ...]]  # name, dtype tag, shape
# Gives the stored bits of a tensor by its name: contiguous, see `narrow`.
ReadBits = Callable[[str], np.ndarray]


def itemsize(tag: str) -> int:
    """Return the bytes of one element."""
    return np.dtype(NUMPY[tag]).itemsize


def stored(tag: str, byte_order: str = "little") -> np.dtype:
    """Return the numpy type of the bits as they stand in a file."""
    return np.dtype(NUMPY[tag]).newbyteorder(">" if byte_order == "big" else "<")


def widen(bits: np.ndarray, tag: str) -> np.ndarray:
    """Decode stored bits in native byte order: bf16 becomes float32, the rest keep their type.

    Returns:
        An array of the same shape that the caller owns.
    """
    native = bits.astype(bits.dtype.newbyteorder("="), copy=False)
    if tag != "BF16":
        return native
    return (native.astype(np.uint32) << np.uint32(16)).view(np.float32)


def narrow(values: np.ndarray, tag: str) -> np.ndarray:
    """Encode values as little-endian bits of a type, rounded to nearest even; NaN stays NaN."""
    if tag != "BF16":
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(values).astype(NUMPY[tag], copy=False)
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    rounded = np.where(np.isnan(values), bits | np.uint32(0x400000), rounded)
    return (rounded >> np.uint32(16)).astype("<u2")


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
        settings: of the model, where the file tells them.
        table: name without `module.` -> (type as safetensors calls it, shape, place in the file:
            spans of bytes unless the reader has its own `read`), in the order of the file.
    """

    kind = ""
    saved_as = ""

    def __init__(self, path: Path) -> None:
        self.table: dict[str, tuple] = {}
        self.settings: dict[str, object] = {}
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

    def names(self) -> list[str]:
        """List the names in the order of the file."""
        return list(self.table)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """List the shapes of all tensors by name, without reading a tensor."""
        return {name: shape for name, (_, shape, _) in self.table.items()}

    def dtype(self, name: str) -> str:
        """Return the type in the file: `F32`, `BF16`, `F16`, `I64`, ..."""
        return self.table[name][0]

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
