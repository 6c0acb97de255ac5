# SPDX-License-Identifier: Apache-2.0
"""A job's folder: names and places of its results, who may write there, and what is finished.

Two locks keep processes apart that share a folder, such as the elements of a job array: one for
each seed, and one for what all seeds of a job share (ranking, best model, `run.json`). The system
frees a lock when its owner ends, however it ends.
"""

from __future__ import annotations

import errno
import fcntl
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path

from protenix_ms.errors import OutputError
from protenix_ms.files import remove_leftovers
from protenix_ms.io.atomic import write_text

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_POLL = 0.1  # seconds between two tries to take a lock


class BusyError(OutputError):
    """Another process works on the same seed of the same job, in the same folder."""


@dataclass(frozen=True)
class JobFolder:
    """Names and places of a job's results: `<output>/<name>/...`."""

    root: Path
    name: str

    @property
    def path(self) -> Path:
        return self.root / self.name

    def seed(self, seed: int) -> Path:
        return self.path / f"seed_{seed}"

    def sample(self, seed: int, kind: str, rank: int, suffix: str) -> Path:
        """File of a sample; `kind` is "", "summary_confidence_", "full_data_", "confidence_"."""
        return self.predictions(seed) / f"{self.name}_{kind}sample_{rank}{suffix}"

    def predictions(self, seed: int) -> Path:
        """Folder of a seed's samples."""
        return self.seed(seed) / "predictions"

    def marker(self, seed: int) -> Path:
        """Written last: the fingerprint of a finished seed, then size and name of its files."""
        return self.seed(seed) / "fingerprint.txt"

    def lock_file(self, seed: int | None) -> Path:
        """The file that `lock` locks. It is always empty and stays."""
        part = "" if seed is None else f"_seed_{seed}"
        return self.path / f"{self.name}{part}.lock"

    @contextmanager
    def lock(self, seed: int | None, patience: float = 0.0) -> Iterator[None]:
        """Keep other processes from a seed, or with None from what all seeds share.

        Whoever has the lock also removes what a killed process left half written there. A file
        system without locks keeps nobody away, and nothing is removed.

        Args:
            patience: seconds to wait for another owner.

        Raises:
            BusyError: another process has the lock.
            OutputError: the folder cannot be written.
        """
        path = self.lock_file(seed)
        with self._open(path) as file:
            if _locked(file.fileno(), path, patience):
                place = self.path if seed is None else self.seed(seed)
                remove_leftovers(place)
                remove_leftovers(place / "predictions")
            yield

    def _open(self, path: Path) -> BufferedWriter:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("ab")
        except OSError as error:
            raise OutputError(f"cannot be written ({error.strerror or error})", where=str(path),
                              fix="check permissions and free space, or choose another "
                              "--output") from error

    def mark(self, seed: int, fingerprint: str) -> None:
        """Declare a seed finished, with all files that it has now. Raises OutputError."""
        names = sorted(p for p in self.predictions(seed).iterdir() if self._is_ours(p))
        lines = [f"{p.stat().st_size} {p.relative_to(self.seed(seed)).as_posix()}" for p in names]
        text = "\n".join([fingerprint, f"{len(lines)} files of these sizes in bytes:", *lines])
        write_text(self.marker(seed), text + "\n")

    def flaw(self, seed: int, fingerprint: str) -> str | None:
        """What keeps a seed from being finished under a fingerprint.

        Returns:
            None: it is finished. "": nothing is there. Else what is missing or damaged.

        Raises:
            OutputError: it is finished under another fingerprint.
        """
        marker = self.marker(seed)
        if not marker.is_file():
            return ""
        first, *lines = marker.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
        if not re.fullmatch("[0-9a-f]{64}", first):
            return f"{marker.name} is damaged"
        if first != fingerprint:
            raise OutputError(
                "results of another input, configuration, weights or version are there",
                where=str(self.seed(seed)),
                fix="add --overwrite to redo them, or choose another --output",
            )
        if not lines or lines[0].split()[:1] != [str(len(lines) - 1)]:
            return f"{marker.name} does not name all its files (cut, or of an earlier version)"
        for line in lines[1:]:
            size, _, name = line.partition(" ")
            path = self.seed(seed) / name
            there = path.stat().st_size if path.is_file() else None
            if str(there) != size:
                return f"{name} is missing" if there is None else (
                    f"{name} has {there} bytes instead of {size}")
        return None

    def seeds(self) -> list[int]:
        """Seeds that have a mark, in order; whether it holds is for `flaw` to say."""
        names = (p.parent.name.removeprefix("seed_") for p in self.path.glob(
            f"seed_*/{self.marker(0).name}"))
        return sorted(int(name) for name in names if name.isdecimal())

    def forget(self, seed: int) -> None:
        """Remove a seed's mark, then the samples it had. Raises OutputError."""
        path = self.marker(seed)
        try:
            path.unlink(missing_ok=True)
            predictions = self.predictions(seed)
            for path in predictions.iterdir() if predictions.is_dir() else ():
                if self._is_ours(path):
                    path.unlink()
        except OSError as error:
            raise OutputError(f"cannot be removed ({error.strerror or error})", where=str(path),
                              fix="check permissions, or choose another --output") from error

    def _is_ours(self, path: Path) -> bool:
        """Whether a file in `predictions` is one of this program's."""
        return path.name.startswith(f"{self.name}_")


def _locked(descriptor: int, path: Path, patience: float) -> bool:
    """Take the lock of an open file; False where the file system has none.

    Raises:
        BusyError: another process still has it after `patience` seconds.
    """
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError as error:
            if time.monotonic() >= end:
                raise BusyError("another process works on it", where=str(path), fix="wait for its "
                                "end, or stop it, and run the command again") from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise OutputError(f"cannot be locked ({error.strerror})", where=str(path),
                                  fix="choose another --output") from error
            return False
        time.sleep(_POLL)
