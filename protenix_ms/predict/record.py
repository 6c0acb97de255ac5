# SPDX-License-Identifier: Apache-2.0
"""`run.json`: what a result was made with. The only file that holds times."""

from __future__ import annotations

import json
import platform
import resource
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from protenix_ms import __version__
from protenix_ms.io.atomic import write_text

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


def write_record(path: Path, content: dict) -> None:
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
