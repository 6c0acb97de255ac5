# SPDX-License-Identifier: Apache-2.0
"""Finished searches, kept by what they depend on, so that none is made twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from protenix_ms.config.home import search_dir
from protenix_ms.io.a3m import A3m
from protenix_ms.io.atomic import write_text


@dataclass(frozen=True)
class Cache:
    """A folder with one JSON file per finished search or open ticket.

    Attributes:
        folder: default `~/.cache/protenix_ms/search`.
        reads: off, every search is made again.
    """

    folder: Path
    reads: bool = True

    @classmethod
    def default(cls, reads: bool = True) -> Cache:
        """Open the folder of this machine."""
        return cls(search_dir(), reads)

    def _path(self, key: tuple[str, ...]) -> Path:
        digest = hashlib.sha256("\0".join(key).encode()).hexdigest()
        return self.folder / key[0] / f"{digest}.json"

    def load(self, *key: str) -> dict[str, object] | None:
        """Return what is kept under a key; None if nothing is, or a damaged file."""
        try:
            value = json.loads(self._path(key).read_text("utf-8")) if self.reads else None
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def store(self, value: Mapping[str, object], *key: str) -> None:
        """Keep a value under a key.

        Raises:
            OutputError: no room or no permission.
        """
        write_text(self._path(key), json.dumps(value))

    def drop(self, *key: str) -> None:
        """Forget what is kept under a key."""
        self._path(key).unlink(missing_ok=True)

    def load_rows(self, *key: str) -> A3m | None:
        """Return the rows kept under a key."""
        value = self.load(*key)
        names, rows = (value.get(name) for name in ("names", "rows")) if value else (None, None)
        if not isinstance(names, list) or not isinstance(rows, list) or len(names) != len(rows):
            return None
        return A3m([str(name) for name in names], [str(row).encode() for row in rows])

    def store_rows(self, rows: A3m, *key: str) -> None:
        """Keep rows under a key. Raises as `store`."""
        self.store({"names": rows.names, "rows": [row.decode() for row in rows.rows]}, *key)
