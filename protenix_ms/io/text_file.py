# SPDX-License-Identifier: Apache-2.0
"""Reading text files people give us: found, regular, UTF-8; or one sentence why not."""

from __future__ import annotations

from pathlib import Path

from protenix_ms.errors import InputError

MAX_BYTES = 4 << 30


def read_text(path: Path, where: str = "") -> str:
    """The text of `path` (UTF-8, a byte order mark is dropped).

    Args:
        path: file to read.
        where: place that names the file, when it is not the file itself.

    Raises:
        InputError: absent, a directory or device, unreadable, over 4 GB, empty bytes, not UTF-8.
    """
    name = str(path) if where else "the file"
    where = where or str(path)
    try:
        if not path.exists():
            raise InputError(
                "no such file" if name == "the file" else f"no such file {name}",
                where=where,
                fix="check the path",
            )
        if not path.is_file():
            raise InputError(f"{name} is not a regular file", where=where, fix="give a text file")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{name} is larger than 4 GB", where=where, fix="split it")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name} is not UTF-8 text (byte {error.start})",
            where=where,
            fix="save it as plain text; compressed and binary files are not read",
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{name} cannot be read ({error})", where=where, fix="check path and permissions"
        ) from None
    if "\0" in text:
        raise InputError(
            f"{name} holds zero bytes, so it is not text", where=where, fix="save it as UTF-8"
        )
    return text


def find_file(name: str, folder: Path, where: str, *, directory: bool = False) -> Path:
    """The file (or folder) that `name` means: relative to `folder`, else to the working directory.

    Upstream knows only the working directory; a job file that carries its alignments beside it
    should work from anywhere.

    Raises:
        InputError: naming every place that was tried.
    """
    try:
        tried = list(dict.fromkeys(base / name for base in (folder.absolute(), Path.cwd())))
        for candidate in tried:
            if candidate.is_dir() if directory else candidate.is_file():
                return candidate
    except (OSError, ValueError) as error:
        raise InputError(
            f"{name[:80]!r} is not a usable path ({error})", where=where, fix="check the path"
        ) from None
    kind = "folder" if directory else "file"
    places = " nor ".join(str(path) for path in tried)
    raise InputError(f"no {kind} {places}", where=where, fix="correct the path or remove the field")
