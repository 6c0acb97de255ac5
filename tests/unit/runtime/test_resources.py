# SPDX-License-Identifier: Apache-2.0
"""What a process may still take: machine, control groups of both versions, its own limits."""

import ctypes
import resource

import numpy as np
import pytest

from protenix_ms.runtime import resources
from protenix_ms.runtime.resources import available_bytes, forget_shapes

GB = 10**9


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Make a system's files under a folder, with 8 GB free and no limits."""
    monkeypatch.setattr(resources.resource, "getrlimit",
                        lambda kind: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def add(files: dict[str, str]):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    add({"proc/meminfo": f"MemTotal: 1 kB\nMemAvailable: {8 * GB // 1024} kB\n"})
    return add


def group(path: str, limit: str, used: int, version: int = 2, stat: str = "") -> dict[str, str]:
    names = ("memory.max", "memory.current") if version == 2 else (
        "memory.limit_in_bytes", "memory.usage_in_bytes")
    folder = "sys/fs/cgroup" + ("" if version == 2 else "/memory") + path
    return {f"{folder}/{names[0]}": limit, f"{folder}/{names[1]}": str(used),
            f"{folder}/memory.stat": stat}


@pytest.mark.parametrize("files, expected", [
    ({}, 8),
    ({"proc/self/cgroup": "0::/\n"} | group("/", str(3 * GB), GB), 2),
    ({"proc/self/cgroup": "0::/a/b\n"} | group("/a/b", str(3 * GB), GB), 2),
    ({"proc/self/cgroup": "0::/a/b\n"} | group("/a/b", "max", GB)
     | group("/a", str(2 * GB), GB), 1),
    ({"proc/self/cgroup": "0::/host/path\n"} | group("/", str(3 * GB), GB), 2),  # in a container
    ({"proc/self/cgroup": "4:cpu:/x\n7:memory:/a\n"} | group("/a", str(3 * GB), GB, 1), 2),
    ({"proc/self/cgroup": "7:memory:/a\n"} | group("/a", "9223372036854771712", GB, 1), 8),
    ({"proc/self/cgroup": "7:memory:/d/1\n0::/\n"} | group("/", str(3 * GB), GB, 1), 2),
    ({"proc/self/cgroup": "0::/a\n"} | group("/a", str(3 * GB), 2 * GB, 2,
                                             f"anon 5\ninactive_file {GB}\n"), 2),
    ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.high": str(2 * GB)}
     | group("/a", "max", GB), 1),
    ({"proc/self/cgroup": "0::/a\n"} | group("/a", str(GB), 2 * GB), 0),
    ({"proc/self/cgroup": "nonsense\n"}, 8),
])
def test_the_least_of_machine_and_groups_counts(machine, files, expected):
    assert available_bytes(machine(files)) == pytest.approx(expected * GB, abs=1024)


@pytest.mark.parametrize("kind, pages", [(resource.RLIMIT_AS, "100 5 5 5 0 7 0"),
                                         (resource.RLIMIT_DATA, "900 5 5 5 0 100 0")])
def test_own_limits_count(machine, monkeypatch, kind, pages):
    root = machine({"proc/self/statm": pages})
    monkeypatch.setattr(resources.resource, "getrlimit", lambda asked: (
        (GB, GB) if asked == kind else (resource.RLIM_INFINITY,) * 2))
    assert available_bytes(root) == GB - 100 * resource.getpagesize()


def test_a_system_that_says_nothing(tmp_path):
    assert available_bytes(tmp_path) is None or resource.getrlimit(
        resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def test_shapes_of_past_jobs_are_forgotten():
    """Operators that are compiled for every shape kept 30 to 60 kB of each."""
    from mindspore import Tensor, ops

    class Heap(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "used",
            "free", "keepcost")]

    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        pytest.skip("this C library does not count its memory")
    libc.mallinfo2.restype = Heap

    def growth(first: int) -> float:
        """Count bytes per new shape that stay in use."""
        forget_shapes()
        before = libc.mallinfo2().used
        for n in range(first, first + 60):
            ops.zeros_like(ops.gather(Tensor.from_numpy(np.ones((n, 3), np.float32)),
                                      Tensor([0, 1]), 0)).asnumpy()
        forget_shapes()
        return (libc.mallinfo2().used - before) / 60

    growth(700)
    assert growth(800) < 15_000
