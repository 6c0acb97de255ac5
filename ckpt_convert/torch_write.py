# SPDX-License-Identifier: Apache-2.0
"""Write a `.pt` that PyTorch loads (`weights_only=True` included), without PyTorch.

The zip layout of `torch.save`: `data.pkl` with the table of tensors in protocol 2, one stored
entry per tensor starting at a multiple of 64 bytes, `byteorder` and `version`.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Sequence
from math import prod
from typing import BinaryIO

import numpy as np

from ckpt_convert.checkpoint import Column
from ckpt_convert.dtypes import TORCH_STORAGE, itemsize
from protenix_ms.errors import CheckpointError

ROOT = "archive"
ALIGNMENT = 64


def _text(value: str) -> bytes:
    raw = value.encode("utf-8")
    return b"X" + struct.pack("<I", len(raw)) + raw


def _integer(value: int) -> bytes:
    if value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


def _integers(values: Sequence[int]) -> bytes:
    return b"(" + b"".join(map(_integer, values)) + b"t"


def _global(dotted: str) -> bytes:
    module, _, name = dotted.rpartition(".")
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def _ordered_dict(items: bytes) -> bytes:
    return _global("collections.OrderedDict") + b")R(" + items + b"u"


def _tensor(key: int, dtype: str, shape: tuple[int, ...]) -> bytes:
    """Encode `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`."""
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    storage = (b"(" + _text("storage") + _global(TORCH_STORAGE[dtype]) + _text(str(key))
               + _text("cpu") + _integer(prod(shape)) + b"tQ")
    arguments = (storage + _integer(0) + _integers(shape) + _integers(strides) + b"\x89"
                 + _global("collections.OrderedDict") + b")R")
    return _global("torch._utils._rebuild_tensor_v2") + b"(" + arguments + b"tR"


def object_stream(tensors: Sequence[Column]) -> bytes:
    """Encode `{"model": OrderedDict(name -> tensor)}`; tensor i lives in storage i."""
    rows = b"".join(_text(name) + _tensor(i, dtype, shape)
                    for i, (name, dtype, shape) in enumerate(tensors))
    return b"\x80\x02}(" + _text("model") + _ordered_dict(rows) + b"u."


def write(file: BinaryIO, tensors: Sequence[Column], read: Callable[[str], np.ndarray],
          metadata: dict[str, str]) -> None:
    """Stream tensors into a file; the format has no place for `metadata`.

    Raises:
        CheckpointError: a type without a PyTorch storage.
    """
    for name, dtype, _ in tensors:
        if dtype not in TORCH_STORAGE:
            raise CheckpointError(f"tensor {name} has the type {dtype}, which is not written")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        def add(name: str, content: bytes | memoryview) -> None:
            # the header is 30 bytes and the name; an extra field pads the content's start
            info = zipfile.ZipInfo(f"{ROOT}/{name}")
            start = file.tell() + 30 + len(info.filename) + 4
            padding = -start % ALIGNMENT
            info.extra = b"FB" + struct.pack("<H", padding) + bytes(padding)
            info.file_size = len(content)
            with archive.open(info, "w") as entry:
                entry.write(content)

        add("data.pkl", object_stream(tensors))
        add("byteorder", b"little")
        for i, (name, dtype, shape) in enumerate(tensors):
            content = np.ascontiguousarray(read(name)).reshape(-1).view(np.uint8)
            if content.size != prod(shape) * itemsize(dtype):
                raise CheckpointError(f"tensor {name} has {content.size} bytes for {shape}")
            add(f"data/{i}", content.data)
        add("version", b"3\n")
