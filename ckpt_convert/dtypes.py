# SPDX-License-Identifier: Apache-2.0
"""Element types of checkpoints: one tag per type, and its name in each file format.

Tags are those of safetensors (`F32`, `BF16`, ...). numpy has no bfloat16: its 16 bits are held
as uint16, and widened to float32 (exactly) when read.
"""

from __future__ import annotations

import numpy as np

# tag -> numpy type of the stored bits, little-endian
NUMPY = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}
FLOATS = ("F64", "F32", "F16", "BF16")

# Names of the type's storage and of the type itself in a PyTorch file.
TORCH_STORAGE = {
    "F64": "torch.DoubleStorage", "F32": "torch.FloatStorage", "F16": "torch.HalfStorage",
    "BF16": "torch.BFloat16Storage", "I64": "torch.LongStorage", "I32": "torch.IntStorage",
    "I16": "torch.ShortStorage", "I8": "torch.CharStorage", "U8": "torch.ByteStorage",
    "BOOL": "torch.BoolStorage",
}
TORCH_DTYPE = {
    "F64": "torch.float64", "F32": "torch.float32", "F16": "torch.float16",
    "BF16": "torch.bfloat16", "I64": "torch.int64", "I32": "torch.int32", "I16": "torch.int16",
    "I8": "torch.int8", "U64": "torch.uint64", "U32": "torch.uint32", "U16": "torch.uint16",
    "U8": "torch.uint8", "BOOL": "torch.bool",
}
MINDSPORE = {
    "F64": "Float64", "F32": "Float32", "F16": "Float16", "BF16": "BFloat16", "I64": "Int64",
    "I32": "Int32", "I16": "Int16", "I8": "Int8", "U64": "UInt64", "U32": "UInt32",
    "U16": "UInt16", "U8": "UInt8", "BOOL": "Bool",
}


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
