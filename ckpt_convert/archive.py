# SPDX-License-Identifier: Apache-2.0
"""Read the zip container of a PyTorch file: every entry stored, separate and inside the file.

PyTorch never compresses, so compression is refused and with it every zip bomb; duplicate names,
overlapping entries, links and paths that climb are refused though nothing is ever extracted.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from functools import reduce
from typing import BinaryIO

import numpy as np

from ckpt_convert.checkpoint import read_spans
from protenix_ms.errors import CheckpointError

MAX_DIRECTORY = 8 << 20  # bytes; a checkpoint with optimizer state has about 2 MB
MAX_SMALL_ENTRY = 16 << 20  # bytes of an entry read as a whole (the object stream: about 2 MB)
PIECE = 4 << 20
_NAME = re.compile(r"(?:(?!\.{1,2}/)[^/\\\x00-\x1f]+/)+(?!\.{1,2}$)[^/\\\x00-\x1f]+")
_DAMAGED = "the file is damaged or was made to do harm; fetch it again from its source"


class _BoundedReads:
    """Gives the file to `zipfile` and refuses huge single reads, such as a false directory."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.seek, self.tell = file, file.seek, file.tell

    def seekable(self) -> bool:
        return True

    def read(self, n: int = -1) -> bytes:
        if n > MAX_DIRECTORY:
            raise zipfile.BadZipFile(f"its directory claims {n} bytes")
        return self.file.read(n)


@dataclass(frozen=True)
class Entry:
    """The place of one stored file's bytes in the archive."""

    start: int
    size: int
    crc: int


class Archive:
    """The zip in an open file.

    Attributes:
        root: the one folder that holds everything.
        entries: by their name below the root: `data.pkl`, `data/0`, ...
    """

    def __init__(self, file: BinaryIO, where: str) -> None:
        self.file, self.where = file, where
        self.size = os.fstat(file.fileno()).st_size
        self.root, self.entries = self._directory()
        # torch.serialization.set_crc32_options(False) writes 0 everywhere
        self.has_checksums = any(entry.crc for entry in self.entries.values())
        self._verified: set[str] = set()

    def fail(self, message: str, fix: str = _DAMAGED) -> CheckpointError:
        """Make the refusal of this file."""
        return CheckpointError(message, where=self.where, fix=fix)

    def _directory(self) -> tuple[str, dict[str, Entry]]:
        try:
            with zipfile.ZipFile(_BoundedReads(self.file)) as archive:
                listed = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error,
                OSError, EOFError, RuntimeError, UnicodeError, IndexError) as error:
            raise self.fail(
                f"the file starts as a PyTorch zip but its directory cannot be read ({error})",
                "the download was probably cut short; fetch it again",
            ) from error
        if any(info.filename.endswith("/constants.pkl") for info in listed):
            raise self.fail("a TorchScript program, not a state dict", "save its state_dict()")
        entries: dict[str, Entry] = {}
        roots, end = set(), 0
        for info in sorted(listed, key=lambda info: info.header_offset):
            start = self._checked(info)
            root, _, name = info.filename.partition("/")
            if name in entries:
                raise self.fail(f"two entries are called {ascii(name[:80])}")
            if info.header_offset < end:
                raise self.fail("entries of the archive overlap")
            roots.add(root)
            end, entries[name] = start + info.file_size, Entry(start, info.file_size, info.CRC)
        if len(roots) != 1 or "data.pkl" not in entries:
            raise self.fail("a zip without the one data.pkl of a saved state dict",
                            "give the file that torch.save wrote")
        return roots.pop(), entries

    def _checked(self, info: zipfile.ZipInfo) -> int:
        """Refuse what torch.save never writes; return the position of the entry's first byte."""
        label = ascii(info.orig_filename[:80])
        if info.flag_bits & 0x2041:
            raise self.fail(f"entry {label} is encrypted", "decrypt the archive first")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise self.fail(
                f"entry {label} is compressed ({info.compress_size} bytes that claim to become "
                f"{info.file_size}), which PyTorch never writes", "save it with torch.save")
        if info.filename != info.orig_filename or not _NAME.fullmatch(info.filename):
            raise self.fail(f"entry {label} has a name that torch.save never writes")
        if (info.external_attr >> 16) & 0o170000 not in (0, 0o100000):
            raise self.fail(f"entry {label} is a link or a special file")
        start = self._data_start(info, label)
        if info.file_size < 0 or start + info.file_size > self.size:
            raise self.fail(f"entry {label} claims {info.file_size} bytes beyond the file's end")
        return start

    def _data_start(self, info: zipfile.ZipInfo, label: str) -> int:
        header = b""
        if 0 <= info.header_offset <= self.size - 30:
            self.file.seek(info.header_offset)
            header = self.file.read(30)
        if len(header) != 30 or header[:4] != b"PK\x03\x04":
            raise self.fail(f"entry {label} has no header where the directory says")
        flags, method = struct.unpack_from("<HH", header, 6)
        name_length, extra_length = struct.unpack_from("<HH", header, 26)
        name = self.file.read(name_length)
        encoding = "utf-8" if flags & 0x800 else "cp437"
        if method or flags & 0x2041 or name.decode(encoding, "replace") != info.filename:
            raise self.fail(f"entry {label} differs between the directory and its own header")
        return info.header_offset + 30 + name_length + extra_length

    def read(self, name: str, start: int = 0, size: int | None = None) -> np.ndarray:
        """Read bytes `start:start+size` of an entry (uint8); its checksum is verified once."""
        entry = self.entries[name]
        size = entry.size - start if size is None else size
        if not 0 <= start <= start + size <= entry.size:
            raise self.fail(f"bytes {start} to {start + size} lie outside entry {ascii(name)}")
        raw = self._bytes(entry.start + start, size)
        if self.has_checksums and name not in self._verified:
            end = entry.start + entry.size
            pieces = [raw] if size == entry.size else (
                self._bytes(at, min(PIECE, end - at)) for at in range(entry.start, end, PIECE))
            if reduce(lambda crc, piece: zlib.crc32(piece, crc), pieces, 0) != entry.crc:
                raise self.fail(f"entry {ascii(name)} fails its checksum")
            self._verified.add(name)
        return raw

    def read_small(self, name: str) -> bytes:
        """Read a whole entry that has to be small: the object stream, the byte order."""
        if self.entries[name].size > MAX_SMALL_ENTRY:
            raise self.fail(
                f"entry {name} claims {self.entries[name].size} bytes, at most {MAX_SMALL_ENTRY} "
                "are read", "save the state dict alone")
        return self.read(name).tobytes()

    def _bytes(self, start: int, size: int) -> np.ndarray:
        return read_spans(self.file, [(start, start + size)], self.where)
