# SPDX-License-Identifier: Apache-2.0
"""Reading text files people give us: regular, UTF-8, perhaps compressed; or a sentence why not."""

from __future__ import annotations

import importlib
import lzma
import re
import zlib
from pathlib import Path
from types import ModuleType

from protenix_ms.errors import InputError

MAX_BYTES = 4 << 30
MAX_UNPACKED = 1 << 30
COMPRESSED_SUFFIXES = (".gz", ".xz", ".bz2", ".zst")
_PIECE = 1 << 22
_LINE_END = re.compile("\r\n|\r|\n")
# first bytes -> name, modules that read it (the first one that can be imported is taken)
_COMPRESSIONS = {
    b"\x1f\x8b": ("gzip", ("gzip",)),
    b"\xfd7zXZ\0": ("xz", ("lzma",)),
    b"BZh": ("bzip2", ("bz2",)),
    b"\x28\xb5\x2f\xfd": ("zstd", ("compression.zstd", "pyzstd", "zstandard")),
}
_ARCHIVES = {b"PK\x03\x04": "a zip archive", b"7z\xbc\xaf": "a 7z archive"}


def split_lines(text: str) -> list[str]:
    """Split a text at line feeds and carriage returns only.

    `str.splitlines` also splits at form feeds, U+2028 and others, which stand inside headers of
    text copied from web pages: what follows them would become residues.
    """
    return _LINE_END.split(text)


def plain_suffix(path: Path) -> str:
    """Return the suffix of a file without that of a compression, in lower case."""
    return plain_name(path).suffix.lower()


def plain_name(path: Path) -> Path:
    """Return `path` without the suffix of a compression: x.json of x.json.gz."""
    return path.with_suffix("") if path.suffix.lower() in COMPRESSED_SUFFIXES else path


def read_text(path: Path, where: str = "", *, zero_bytes: bool = False) -> str:
    """Read the text of a file (UTF-8, a byte order mark is dropped), unpacked if compressed.

    Gzip, xz, bzip2 and zstd are told by their first bytes, whatever the file's name.

    Args:
        path: file to read.
        where: place that names the file, when it is not the file itself.
        zero_bytes: keep zero bytes, which end the blocks of MMseqs2's alignments.

    Raises:
        InputError: absent, a directory or device, unreadable, too large, damaged, not UTF-8.
    """
    name = str(path) if where else "the file"
    where = where or str(path)

    def refuse(message: str, fix: str) -> InputError:
        return InputError(message, where=where, fix=fix)

    try:
        if not path.exists():
            raise refuse("no such file" if name == "the file" else f"no such file {name}",
                         "check the path")
        if not path.is_file():
            raise refuse(f"{name} is not a regular file", "give a text file")
        if path.stat().st_size > MAX_BYTES:
            raise refuse(f"{name} is larger than 4 GB", "split it")
        text = _unpack(path, name, where).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse(f"{name} is not UTF-8 text (byte {error.start})",
                     "save it as plain text; binary files are not read") from None
    except (OSError, ValueError) as error:
        raise refuse(f"{name} cannot be read ({error})", "check path and permissions") from None
    if "\0" in text and text[257:262] == "ustar":
        raise refuse(f"{name} is a tar archive", "unpack it first")
    if "\0" in text and not zero_bytes:
        raise refuse(f"{name} holds zero bytes, so it is not text",
                     "save it as UTF-8 without them")
    return text


def _unpack(path: Path, name: str, where: str) -> bytes:
    """Read the bytes of a file, unpacked when its first bytes name a compression."""
    with path.open("rb") as file:
        start = file.read(6)
    for magic, archive in _ARCHIVES.items():
        if start.startswith(magic):
            raise InputError(f"{name} is {archive}", where=where, fix="unpack it first")
    compression = next((c for magic, c in _COMPRESSIONS.items() if start.startswith(magic)), None)
    if compression is None:
        return path.read_bytes()
    kind, modules = compression
    module = _import_first(modules)
    if module is None:
        raise InputError(f"{name} is compressed by {kind}, which this Python cannot read",
                         where=where, fix=f"unpack it, or pip install {modules[-1]}")
    damage = (OSError, EOFError, zlib.error, lzma.LZMAError, getattr(module, "ZstdError", OSError))
    content = bytearray()
    try:
        with module.open(path, "rb") as stream:
            while len(content) <= MAX_UNPACKED and (piece := stream.read(_PIECE)):
                content += piece
    except damage as error:
        raise InputError(f"{name} is a damaged {kind} stream ({error})", where=where,
                         fix="copy it again") from None
    if len(content) > MAX_UNPACKED:
        raise InputError(f"{name} unpacks to more than {MAX_UNPACKED >> 20} MiB", where=where,
                         fix="split it, or unpack it yourself")
    return bytes(content)


def _import_first(names: tuple[str, ...]) -> ModuleType | None:
    """Import the first module that this Python has."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def find_file(name: str, folder: Path, where: str, *, directory: bool = False) -> Path:
    """Find the file (or folder) that `name` means: in `folder`, else in the working directory.

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
        raise InputError(f"{name[:80]!r} is not a usable path ({error})", where=where,
                         fix="check the path") from None
    places = " nor ".join(map(str, tried))
    raise InputError(f"no {'folder' if directory else 'file'} {places}", where=where,
                     fix="correct the path or remove the field")
