# SPDX-License-Identifier: Apache-2.0
"""safetensors: 8 bytes of header length, a JSON header, then the tensors one after the other.

The official package reads and checks the header. The tensors are read here, because it maps the
whole file into memory; and they are written here, because it wants all of them at once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import prod
from typing import BinaryIO

from safetensors import SafetensorError, safe_open

from ckpt_convert.checkpoint import NUMPY, Checkpoint, Column, ReadBits, itemsize
from protenix_ms.errors import CheckpointError

MAX_HEADER = 16 << 20  # bytes; a base model has 0.6 MB, the format allows 100 MB


def write(file: BinaryIO, tensors: Sequence[Column], read: ReadBits,
          metadata: dict[str, str]) -> None:
    """Stream tensors into a file."""
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
        file.write(read(name))


class SafetensorsCheckpoint(Checkpoint):
    """A safetensors file."""

    kind = "safetensors"

    def list_tensors(self) -> None:
        """Fill `table`, see `Checkpoint`."""
        try:
            length = int.from_bytes(self.file.read(8), "little")
            if length > MAX_HEADER:
                raise ValueError(f"it claims {length} bytes")
            with safe_open(self.path, "np") as header:
                self.settings = header.metadata() or {}
                self.saved_as = self.settings.get("model", "")
                start = 8 + length  # tensors follow one another without gaps
                for name in header.offset_keys():
                    tensor = header.get_slice(name)
                    dtype, shape = tensor.get_dtype(), tuple(tensor.get_shape())
                    if dtype not in NUMPY:
                        raise ValueError(f"tensor {ascii(name[:120])} has the unknown type {dtype}")
                    stop = start + prod(shape) * itemsize(dtype)
                    self.table[name] = (dtype, shape, [(start, stop)])
                    start = stop
        except (ValueError, SafetensorError) as error:
            reason = ascii(str(error))[1:200]
            raise CheckpointError(f"the safetensors header cannot be read: {reason}",
                                  where=self.path.name, fix="write the file again") from error
