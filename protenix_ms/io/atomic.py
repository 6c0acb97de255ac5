# SPDX-License-Identifier: Apache-2.0
"""The one way to write a file: whole beside its place, then renamed into it.

A reader, a rerun or a crash never meets half a file. Nothing written here holds a time, so that
the same content gives the same bytes.
"""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np

from protenix_ms.errors import OutputError
from protenix_ms.typing import Array

_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}")  # what `write_bytes` names its own
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip entry can carry


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, making its folders.

    Raises:
        OutputError: no permission, no space, or a folder of that name.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
        sync(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        with suppress(OSError):  # some network file systems do not sync folders
            sync(path.parent)
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror or error})", where=str(path),
                          fix="check permissions and free space, or choose another --output"
                          ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)  # a full disk, an interrupt: no litter


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


def make_folder(folder: Path) -> None:
    """Make a folder for results, and its parents, where it is not there yet.

    Raises:
        OutputError: no permission, a file of that name, or a link that points to nothing.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"cannot be made ({error.strerror})"
        for path in (folder, *folder.parents):
            if path.is_symlink() and not path.exists():
                reason = f"{path} is a link to {os.readlink(path)}, which is not there"
        raise OutputError(reason, where=str(folder), fix="choose another --output") from error


def _umask() -> int:
    """Return the process's file creation mask, which temporary files ignore."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with Unix line ends. Raises as `write_bytes`.

    Bytes of a file name that are no UTF-8 are written as ``\\udcXX``, as they are printed.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def npz_bytes(arrays: Mapping[str, Array]) -> bytes:
    """Compress `arrays` as an `.npz`, the same bytes for the same content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays as `npz_bytes` does. Raises as `write_bytes`."""
    write_bytes(path, npz_bytes(arrays))
