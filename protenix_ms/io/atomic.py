# SPDX-License-Identifier: Apache-2.0
"""Write bytes, text and arrays with `files.replacing`: a file is there as a whole or not at all.

Nothing written here holds a time, so that the same content gives the same bytes.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from protenix_ms.errors import OutputError
from protenix_ms.files import replacing
from protenix_ms.typing import Array

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip entry can carry


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, making its folders.

    Raises:
        OutputError: no permission, no space, or a folder of that name.
    """
    with replacing(path) as file:
        file.write(content)


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


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with Unix line ends. Raises as `write_bytes`.

    Bytes of a file name that are no UTF-8 are written as ``\\udcXX``, as they are printed.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def npz_bytes(arrays: Mapping[str, Array], compressed: bool = True) -> bytes:
    """Write arrays as an `.npz`, the same bytes for the same content."""
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method, compresslevel=6) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            entry.compress_type = method
            with archive.open(entry, "w", force_zip64=True) as file:
                np.save(file, array, allow_pickle=False)
    return buffer.getvalue()


def write_npz(path: Path, arrays: Mapping[str, Array], compressed: bool = True) -> None:
    """Write arrays as `npz_bytes` does. Raises as `write_bytes`."""
    write_bytes(path, npz_bytes(arrays, compressed))
