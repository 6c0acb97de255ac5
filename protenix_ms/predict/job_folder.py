# SPDX-License-Identifier: Apache-2.0
"""A job's folder: names of its files, who may write there, what is finished, and `run.json`.

Two locks keep processes apart that share a folder, such as the elements of a job array: one for
each seed, and one for what all seeds of a job share (ranking, best model, `run.json`). The system
frees a lock when its owner ends, however it ends.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import platform
import re
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from io import BufferedWriter
from pathlib import Path

from protenix_ms import __version__
from protenix_ms.errors import OutputError
from protenix_ms.files import file_sha256, remove_leftovers
from protenix_ms.io.atomic import write_text
from protenix_ms.job import Job

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_POLL = 0.1  # seconds between two tries to take a lock
_PACKAGES = ("mindspore", "numpy", "rdkit", "gemmi")  # what the numbers of a result depend on


class BusyError(OutputError):
    """Tells that another process works on the same seed of the same job, in the same folder."""


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
        """Name the file of a sample.

        Args:
            kind: "", "summary_confidence_", "full_data_", "confidence_".
        """
        return self.predictions(seed) / f"{self.name}_{kind}sample_{rank}{suffix}"

    def predictions(self, seed: int) -> Path:
        """Return the folder of a seed's samples."""
        return self.seed(seed) / "predictions"

    def marker(self, seed: int) -> Path:
        """Name the file that is written last: fingerprint of a finished seed, its files."""
        return self.seed(seed) / "fingerprint.txt"

    def lock_file(self, seed: int | None) -> Path:
        """Return the file that `lock` locks. It is always empty and stays."""
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
        with locking(self.lock_file(seed), patience) as alone:
            if alone:
                place = self.path if seed is None else self.seed(seed)
                remove_leftovers(place)
                remove_leftovers(place / "predictions")
            yield

    def mark(self, seed: int, fingerprint: str) -> None:
        """Declare a seed finished, with all files that it has now. Raises OutputError."""
        names = sorted(p for p in self.predictions(seed).iterdir() if self._is_ours(p))
        lines = [f"{p.stat().st_size} {p.relative_to(self.seed(seed)).as_posix()}" for p in names]
        text = "\n".join([fingerprint, f"{len(lines)} files of these sizes in bytes:", *lines])
        write_text(self.marker(seed), text + "\n")

    def flaw(self, seed: int, fingerprint: str = "") -> str | None:
        """Say what keeps a seed from being finished under a fingerprint, "" for any.

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
        if first != fingerprint and fingerprint:
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
        """List the seeds that have a mark, in order; `flaw` says whether it holds."""
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
        """Tell whether a file in `predictions` is one of this program's."""
        return path.name.startswith(f"{self.name}_")


@contextmanager
def locking(path: Path, patience: float = 0.0) -> Iterator[bool]:
    """Lock a file, which stays empty, for the block; tell whether the file system has locks.

    Args:
        patience: seconds to wait for another owner.

    Raises:
        BusyError: another process has the lock.
        OutputError: the file cannot be written.
    """
    with _open(path) as file:
        yield _locked(file.fileno(), path, patience)


def _open(path: Path) -> BufferedWriter:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror or error})", where=str(path),
                          fix="check permissions and free space, or choose another "
                          "--output") from error


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


def _content(value: object) -> object:
    """Turn a job's parts into JSON; files count by content, not by name."""
    if isinstance(value, Path):
        return {"file": file_sha256(value)}
    if isinstance(value, Mapping):
        return {str(k): _content(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_content(v) for v in value]
    return value


def job_content(job: Job) -> dict:
    """Collect what a result depends on of its job: all but its source, seeds and notes."""
    tree = asdict(replace(job, document=None))
    for key in ("source", "seeds", "notes", "document"):
        tree.pop(key)
    for entity in tree["entities"]:
        for key in ("paired_msa", "unpaired_msa"):
            if entity.get(key) is not None:
                entity[key] = hashlib.sha256(entity[key]["text"].encode()).hexdigest()
        for structure in entity.get("template_structures", ()):
            structure["source"] = structure["name"] = ""
    return _content(tree)


def fingerprint(job: Job, seed: int, settings: Mapping) -> str:
    """Digest a job and seed with the settings: configuration, weights, tables, version."""
    everything = {"job": job_content(job), "seed": seed, "settings": _content(settings)}
    text = json.dumps(everything, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def versions() -> dict[str, str]:
    """List the versions of this program and of what its numbers depend on."""
    numbers = {"protenix_ms": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            numbers[package] = version(package)
        except PackageNotFoundError:
            numbers[package] = "absent"
    return numbers


def peak_memory_gb() -> float:
    """Return the largest resident memory of this process so far, in GB."""
    try:  # getrusage would also count what the parent held when it started this process
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e9
    except (OSError, IndexError, ValueError):
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e9


def update_record(
    folder: JobFolder, content: Mapping, seeds: Mapping[int, Mapping], best: Mapping | None = None
) -> None:
    """Add seeds to a job's `run.json`, and keep what it says of others under the same settings.

    The file stays as it is where only the time would change. The caller has the job's lock.

    Args:
        content: what was run, in JSON's types, with "settings".
        seeds: state, detail and seconds of each. Seconds that are known already stay.
        best: the ranking's first row; None keeps the row that is there.

    Raises:
        OutputError: the file cannot be written.
    """
    content = json.loads(json.dumps(content, default=str))
    path = folder.path / "run.json"
    before = _read(path)
    if before.get("settings") != content["settings"]:
        before = {}
    known = {int(s): entry for s, entry in before.get("seeds", {}).items()
             if entry["state"] != "done" or folder.seed(int(s)).is_dir()}
    for seed, entry in seeds.items():
        if entry["seconds"] or entry["state"] != known.get(seed, {}).get("state"):
            known[seed] = entry
    content |= {"seeds": {str(s): known[s] for s in sorted(known)},
                "best": best or before.get("best")}
    if content != {key: before.get(key) for key in content}:
        peak = before.get("peak_memory_gb")
        write_record(path, content, peak if isinstance(peak, float) else 0.0)


def _read(path: Path) -> dict:
    """Read a record; return nothing where there is none that can be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return record if isinstance(record["seeds"], dict) else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def write_record(path: Path, content: dict, peak: float = 0.0) -> None:
    """Write `run.json`: `content` with versions, machine, time and peak memory.

    Args:
        peak: GB that other processes of this run took at most, such as workers.
    """
    machine = {"system": platform.platform(), "processor": platform.machine()}
    record = {
        **content,
        "versions": versions(),
        "machine": machine,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "peak_memory_gb": max(round(peak_memory_gb(), 3), peak),
        "command": sys.argv,
    }
    write_text(path, json.dumps(record, indent=2, default=str) + "\n")
