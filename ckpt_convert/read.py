# SPDX-License-Identifier: Apache-2.0
"""Opening a checkpoint of any format we read; the format is told by its first bytes.

Upstream's own is a zip around a serialised state dict (trap H32); see `torch_file`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from ckpt_convert.mindspore_file import MindSporeCheckpoint
from ckpt_convert.safetensors_file import SafetensorsCheckpoint
from ckpt_convert.torch_file import TorchCheckpoint
from protenix_ms.errors import CheckpointError

_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # torch's magic number as protocol 2 writes it


class Checkpoint(Protocol):
    """Named tensors of a file, read one at a time; not safe to share between threads."""

    kind: str  # the format, for people
    path: Path
    saved_as: str  # the model's name if the file tells it, else the name torch saved it under

    def __contains__(self, name: str) -> bool:
        """Whether the file holds a tensor of this name."""

    def names(self) -> list[str]:
        """Names in the order of the file, without `module.`."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape, known without reading the tensor."""

    def dtype(self, name: str) -> str:
        """Type in the file as safetensors calls it: `F32`, `BF16`, `F16`, `I64`, ..."""

    def read(self, name: str) -> np.ndarray:
        """A new contiguous array in native byte order; `BF16` comes as float32 (exact)."""

    def close(self) -> None:
        """Release the file."""


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a PyTorch `.pt`, a safetensors file or a MindSpore `.ckpt`; nothing in it is executed.

    Only the list of tensors is read. The caller closes it.

    Raises:
        CheckpointError: absent, unreadable, of an unknown or refused format, damaged.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise CheckpointError("is a folder or a device, not a file", where=str(path),
                                  fix="name the file itself")
        with path.open("rb") as file:
            head = file.read(512)
        return _reader(path, head)(path)
    except OSError as error:
        raise CheckpointError(f"cannot be opened ({error.strerror or error})", where=str(path),
                              fix="check the path and its permissions") from error


def _reader(path: Path, head: bytes) -> type:
    def refuse(message: str, fix: str) -> CheckpointError:
        return CheckpointError(message, where=path.name, fix=fix)

    save_again = "load it with the PyTorch that wrote it and torch.save its state dict again"
    if head[:4] == b"PK\x03\x04":
        return TorchCheckpoint
    if head.lstrip()[:1] == b"<":
        raise refuse("a web page, not a checkpoint", "fetch the file itself")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return SafetensorsCheckpoint
    if head[:1] == b"\n" and len(head) > 8 and head[:16].count(b"\0") < 8:
        return MindSporeCheckpoint
    if not head:
        raise refuse("the file is empty", "fetch it again")
    if head.startswith(_LEGACY):
        raise refuse("a legacy PyTorch file (before 1.6, not a zip), which cannot be read without "
                     "executing it", save_again)
    if head[257:262] == b"ustar":
        raise refuse("a legacy PyTorch tar file (before 0.4)", save_again)
    if head[:1] == b"\x80":
        raise refuse("a bare stream of Python objects, which is a program and not a list of "
                     "tensors", save_again)
    if _ends_as_zip(path):
        raise refuse("a zip behind other data, which torch.save never writes", save_again)
    raise refuse("neither a PyTorch zip, nor safetensors, nor a MindSpore checkpoint",
                 "give one of these")


def _ends_as_zip(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 22))
        return file.read(4) == b"PK\x05\x06"
