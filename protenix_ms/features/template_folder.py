# SPDX-License-Identifier: Apache-2.0
"""A folder of deposited structures for template hits, with two optional tables of upstream."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from protenix_ms.errors import InputError
from protenix_ms.files import file_sha256
from protenix_ms.io.json_model import parse_json
from protenix_ms.io.template_structure import TemplateFile
from protenix_ms.io.text_file import read_text

SUFFIXES = (".cif", ".cif.gz")
DATES, SUCCESSORS = "release_date_cache.json", "obsolete_to_successor.json"
_FILES_KEPT = 32


@dataclass(frozen=True)
class TemplateFolder:
    """A folder with `<id>.cif` or `<id>.cif.gz`, the id in lower or upper case.

    The tables lie in it, or as in upstream's layout in its neighbour `common`.

    Attributes:
        path: the folder.
        dates: release dates by lower-case id; empty without the table.
        successors: ids that replaced obsolete ones.
    """

    path: Path
    dates: dict[str, datetime.date]
    successors: dict[str, str]

    def current(self, entry: str) -> str:
        """Return the id under which an entry is deposited now."""
        return self.successors.get(entry, entry)

    def find(self, entry: str) -> Path | None:
        """Find the structure of an entry."""
        names = (name + suffix for suffix in SUFFIXES for name in (entry, entry.upper()))
        return next((p for p in map(self.path.joinpath, names) if p.is_file()), None)


def stamp(path: Path) -> tuple[int, int]:
    """Return time of change and size of a file or folder, by which caches tell a new one."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def read_folder(path: Path) -> TemplateFolder:
    """Read the tables of a folder of structures, once unless it changes.

    Raises:
        InputError: no such folder, or a table that is not upstream's.
    """
    if not path.is_dir():
        raise InputError("there is no such folder of template structures", where=str(path),
                         fix="correct --template-structures")
    return _read_folder(path, stamp(path))


@lru_cache(maxsize=8)
def _read_folder(path: Path, stamp: tuple[int, int]) -> TemplateFolder:
    dates = _table(path, DATES)
    released = {}
    for entry, fact in dates.items():
        try:
            released[entry.lower()] = datetime.date.fromisoformat(fact["release_date"])
        except (TypeError, KeyError, ValueError):
            raise InputError(f"{entry[:20]!r} has no release_date YYYY-MM-DD",
                             where=str(path / DATES), fix="correct or remove the table") from None
    successors = {old.lower(): str(new).lower() for old, new in _table(path, SUCCESSORS).items()}
    return TemplateFolder(path, released, successors)


def open_structure(path: Path, upstream_quirks: bool) -> tuple[TemplateFile, str]:
    """Read a structure and its sha256; the last few stay in memory. Raises InputError."""
    return _open_structure(path, upstream_quirks, stamp(path))


@lru_cache(maxsize=_FILES_KEPT)
def _open_structure(
    path: Path, upstream_quirks: bool, stamp: tuple[int, int]
) -> tuple[TemplateFile, str]:
    return TemplateFile(read_text(path), str(path), upstream_quirks), file_sha256(path)


def _table(folder: Path, name: str) -> dict[str, Any]:
    """Read a table of JSON, empty where there is none."""
    places = [folder / name, folder.parent / "common" / name]
    path = next((place for place in places if place.is_file()), None)
    value = parse_json(read_text(path), str(path)) if path else {}
    if not isinstance(value, dict):
        raise InputError("the table is not an object", where=str(path),
                         fix="correct or remove it")
    return value
