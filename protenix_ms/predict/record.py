# SPDX-License-Identifier: Apache-2.0
"""`run.json`: what a result was made with. The only file that holds times."""

from __future__ import annotations

import json
import platform
import resource
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from protenix_ms import __version__
from protenix_ms.io.atomic import write_text
from protenix_ms.predict.job_folder import JobFolder

_PACKAGES = ("mindspore", "numpy", "rdkit", "gemmi")


def versions() -> dict[str, str]:
    """Versions of this program and of what its numbers depend on."""
    found = {"protenix_ms": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def peak_memory_gb() -> float:
    """Largest resident memory of this process so far, GB."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e9


def update_record(
    folder: JobFolder, content: Mapping, seeds: Mapping[int, Mapping], best: Mapping | None = None
) -> None:
    """Add seeds to a job's `run.json`; what it says of others under the same settings stays.

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
        _write(path, content)


def _read(path: Path) -> dict:
    """A record, or nothing where there is none that can be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return record if isinstance(record["seeds"], dict) else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _write(path: Path, content: dict) -> None:
    """Write `run.json`: `content` with versions, machine, time and peak memory."""
    machine = {"system": platform.platform(), "processor": platform.machine()}
    record = {
        **content,
        "versions": versions(),
        "machine": machine,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "peak_memory_gb": round(peak_memory_gb(), 3),
        "command": sys.argv,
    }
    write_text(path, json.dumps(record, indent=2, default=str) + "\n")
