# SPDX-License-Identifier: Apache-2.0
"""Memory of the machine and of this process, and how MindSpore gives some back."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from protenix_ms.runtime.policy import policy

# Files of a control group: limits, what is used, and in `memory.stat` what can be dropped.
_VERSION_2 = ("memory.max", "memory.high"), "memory.current", "inactive_file"
_VERSION_1 = ("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"


def available_bytes(root: Path = Path("/")) -> float | None:
    """Measure what the process may still take, in bytes; None where the system does not say.

    The least counts: the machine's free memory, the limit of every group (cgroup, version 1 or 2)
    that the process is in, and its own limits (ulimit).

    Args:
        root: where /proc and /sys are; another place in tests.
    """
    free = [*_groups(root), *_own_limits(root)]
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            free.append(float(line.split()[1]) * 1024)
    return max(min(free), 0.0) if free else None


def _groups(root: Path) -> Iterator[float]:
    """Yield the bytes left to each control group of the process, its ancestors included.

    In a container the path may be the host's, and only its end or the top is to be seen.
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if not controllers:
            tops, names = ("", "unified"), _VERSION_2
        elif "memory" in controllers.split(","):
            tops, names = ("memory", controllers), _VERSION_1
        else:
            continue
        parts = Path(path).parts[1:]
        for top in tops:
            for depth in range(len(parts) + 1):
                yield from _group(root.joinpath("sys/fs/cgroup", top, *parts[:depth]), names)


def _group(folder: Path, names: tuple[tuple[str, ...], str, str]) -> Iterator[float]:
    """Yield the bytes left to one group; cached files that can be dropped do not count as used."""
    limits, usage, dropped = names
    used = _number(folder / usage)
    if used is None:
        return
    for line in _lines(folder / "memory.stat"):
        if line.split()[:1] == [dropped]:
            used -= min(float(line.split()[1]), used)
    for limit in (_number(folder / name) for name in limits):
        if limit is not None:
            yield limit - used


def _own_limits(root: Path) -> Iterator[float]:
    """Yield the bytes left of this process's limits on addresses and on data."""
    words = " ".join(_lines(root / "proc/self/statm")).split()
    for kind, word in ((resource.RLIMIT_AS, 0), (resource.RLIMIT_DATA, 5)):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY and len(words) > word:
            yield limit - float(words[word]) * os.sysconf("SC_PAGE_SIZE")


def _lines(path: Path) -> list[str]:
    """Read the lines of a system file; none where it is absent."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _number(path: Path) -> float | None:
    """Read the number in a system file; None without one ("max", or no such file)."""
    try:
        return float(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def resident_bytes() -> float:
    """Measure the memory that this process holds now; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def forget_shapes() -> None:
    """Drop the operators that MindSpore has compiled for shapes of past jobs and never frees.

    Its operators that are not `pyboost` ones (gather, zeros_like) keep 30 to 60 kB per shape.
    The C library then returns the memory between them to the system, if it can.
    """
    if policy().device == "CPU":
        from mindspore.common.api import _pynative_executor

        _pynative_executor.clear_res()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
