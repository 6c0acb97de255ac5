# SPDX-License-Identifier: Apache-2.0
"""Element types of checkpoints: one tag per type, and its name in each file format.

Tags are those of safetensors (`F32`, `BF16`, ...). numpy has no bfloat16: its 16 bits are held
as uint16, and widened to float32 (exactly) when read.
"""

from __future__ import annotations

import numpy as np

# tag: numpy type of the stored bits (little-endian), type and storage in a PyTorch file, type in
# a MindSpore file
_TYPES = {
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
NUMPY = {tag: row[0] for tag, row in _TYPES.items()}
TORCH_DTYPE = {tag: f"torch.{row[1]}" for tag, row in _TYPES.items()}
TORCH_STORAGE = {tag: f"torch.{row[2]}Storage" for tag, row in _TYPES.items() if row[2]}
MINDSPORE = {tag: row[3] for tag, row in _TYPES.items()}


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
