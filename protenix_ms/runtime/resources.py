# SPDX-License-Identifier: Apache-2.0
"""Memory of the machine and of this process."""

from __future__ import annotations

import os
from pathlib import Path


def available_bytes() -> float | None:
    """Memory the process may still take: the machine's, or its container's limit; None unknown."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    table = {line.split(":")[0]: float(line.split()[1]) * 1024 for line in lines}
    free = table.get("MemAvailable")
    limit, used = _number("/sys/fs/cgroup/memory.max"), _number("/sys/fs/cgroup/memory.current")
    if limit is not None and used is not None:
        free = limit - used if free is None else min(free, limit - used)
    return free


def _number(path: str) -> float | None:
    """The number a file of the system holds; None without one ("max", or no such file)."""
    try:
        return float(Path(path).read_text())
    except (OSError, ValueError):
        return None


def resident_bytes() -> float:
    """Memory this process holds now; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return float(pages * os.sysconf("SC_PAGE_SIZE"))
