# SPDX-License-Identifier: Apache-2.0
"""The file being written: checked before, hashed on the way, renamed into place when whole."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from protenix_ms.errors import OutputError, ResourceError

PIECE = 1 << 20


class Hashing:
    """A file being written front to back, and the sha256 of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.sha256, self.size = file, hashlib.sha256(), 0

    def write(self, piece: bytes) -> int:
        """Write and hash bytes or an array of bytes; how many."""
        self.sha256.update(piece)
        self.file.write(piece)
        self.size += memoryview(piece).nbytes
        return memoryview(piece).nbytes

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        self.file.flush()


def sha256_of(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            state.update(piece)
    return state.hexdigest()


def check_target(source: Path, target: Path, needed: int) -> None:
    """Refuse what would fail after minutes of work.

    Raises:
        OutputError, ResourceError: a bad place, or too little room for `needed` bytes.
    """
    if target.exists() and target.samefile(source):
        raise OutputError("is the source itself", where=str(target), fix="choose another name")
    if target.suffix == ".json":
        raise OutputError("is the name of the sidecar", where=str(target),
                          fix="end it with .safetensors, .ckpt or .pt")
    if not target.parent.is_dir():
        raise OutputError("lies in a folder that does not exist", where=str(target),
                          fix=f"mkdir -p {target.parent}")
    free = shutil.disk_usage(target.parent).free
    if free < needed + (1 << 20):
        raise ResourceError(f"needs {needed / 1e9:.2f} GB, the disk has {free / 1e9:.2f} GB free",
                            where=str(target), fix="choose another disk")


@contextmanager
def atomic(target: Path) -> Iterator[BinaryIO]:
    """A file beside its place, renamed into it when complete, removed otherwise."""
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror or error})", where=str(target),
                          fix="check the folder, its permissions and the free space") from error
    finally:
        beside.unlink(missing_ok=True)
