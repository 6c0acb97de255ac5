# SPDX-License-Identifier: Apache-2.0
"""Write files whole or not at all, and compute their digests.

A file is written beside its place and then renamed into it, so that a reader, a rerun or a crash
never meets half a file.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from protenix_ms.errors import OutputError, ResourceError

PIECE = 1 << 22  # bytes read at once
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}")  # names that `replacing` gives


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that takes the place of `path` when the block ends; make its folders.

    Content and name survive a loss of power. An exception leaves `path` as it was.

    Raises:
        OutputError: no permission, no space, or a folder of that name.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            yield file
        sync(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        with suppress(OSError):  # some network file systems do not sync folders
            sync(path.parent)
    except OSError as error:
        raise OutputError(
            f"cannot be written ({error.strerror or error})",
            where=str(path),
            fix="check permissions and free space, or choose another --output",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)  # a full disk or an interrupt leaves no litter


def require_room(folder: Path, needed: int) -> None:
    """Refuse a disk on which `needed` bytes are not free.

    Raises:
        ResourceError: says both figures.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ResourceError(f"needs {needed / 1e9:.2f} GB, the disk has {free / 1e9:.2f} GB free",
                            where=str(folder), fix="choose another disk")


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, survives a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of writers that were killed. Nobody may write there now."""
    for path in folder.glob(".*.*"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """Compute the sha256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _umask() -> int:
    """Return the process's file creation mask, which temporary files ignore."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
