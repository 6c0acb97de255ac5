# SPDX-License-Identifier: Apache-2.0
"""Compile the C++ CPU kernels into one shared library, for `setup.py` and for `native`.

Standard library only, so that `setup.py` can load this file by path. Every unit is compiled for
its own instruction set and chosen at run time, so the library runs on any machine of its
architecture; there is no `-march=native`.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "csrc" / "cpu"
FLAGS = (
    "-O3", "-std=c++17", "-fPIC", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti",
    "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-pthread",
)
X86_UNITS = {
    "isa_avx2.cc": ("-mavx2", "-mfma"),
    "isa_avx512.cc": (
        "-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma",
        "-mprefer-vector-width=512",
    ),
}
TIMEOUT = 300.0  # seconds for one unit, generous for a busy machine


class CompileError(Exception):
    """The reason, in one line, why there is no library."""


def machine() -> str:
    """Name the architecture that the library is for, such as "x86_64"."""
    return platform.machine().lower() or "unknown"


def units() -> dict[str, tuple[str, ...]]:
    """List the translation units of this architecture and their extra flags."""
    files = sorted(path.name for path in SOURCES.glob("*.cc"))
    x86 = machine() in ("x86_64", "amd64")
    extra = ("-DPMS_X86",) if x86 else ()
    return {
        name: (*X86_UNITS.get(name, ()), *extra)
        for name in files if x86 or name not in X86_UNITS
    }


def source_hash() -> str:
    """Compute twelve digits that change with any source or flag."""
    digest = hashlib.sha256(repr((FLAGS, sorted(units().items()))).encode())
    for path in sorted(SOURCES.iterdir()):
        if path.suffix in (".cc", ".h"):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def library_name() -> str:
    """Name the library inside an installation."""
    return f"kernels-{source_hash()}-{machine()}.so"


def find_compiler() -> str | None:
    """Find `$CXX` if it exists, else g++, c++ or clang++ on the path."""
    names = filter(None, (os.environ.get("CXX", ""), "g++", "c++", "clang++"))
    return next(filter(None, map(shutil.which, names)), None)


def compiler_version(compiler: str) -> str:
    """Ask the compiler for the first line of its version."""
    try:
        answer = subprocess.run(
            [compiler, "--version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CompileError(f"{compiler} --version failed: {error}") from error
    return answer.stdout.partition("\n")[0]


def digest_file(library: Path) -> Path:
    """Name the file of a library's SHA-256, which stands beside it."""
    return library.with_name(f"{library.name}.sha256")


def is_whole(library: Path) -> bool:
    """Tell whether a library is as `compile_library` wrote it.

    One that is not must never be loaded: a missing page ends the process by a signal, and other
    bytes do anything at all.
    """
    try:
        expected = digest_file(library).read_bytes()
        return hashlib.sha256(library.read_bytes()).hexdigest().encode() == expected
    except OSError:
        return False


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def compile_library(target: Path, compiler: str, extra: tuple[str, ...] = ()) -> None:
    """Compile all units at the same time and link them.

    The library appears whole or not at all, and its digest beside it, so that `is_whole` recognises
    what a crash has left.

    Args:
        target: the library; its folder must exist.
        compiler: path of a C++17 compiler.
        extra: more flags for units and linking, such as sanitizers.

    Raises:
        CompileError: with the first error of the compiler.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".kernels-") as folder:
        objects = {name: str(Path(folder) / f"{name}.o") for name in units()}
        _run_together(
            [compiler, *FLAGS, *flags, *extra, "-c", str(SOURCES / name), "-o", objects[name]]
            for name, flags in units().items())
        library = Path(folder) / target.name
        _run_together([[compiler, "-shared", "-pthread", *extra, *objects.values(), "-o",
                        str(library)]])
        digest = digest_file(library)
        digest.write_text(hashlib.sha256(library.read_bytes()).hexdigest(), encoding="ascii")
        _sync(library)
        _sync(digest)
        digest_file(target).unlink(missing_ok=True)  # never an old digest beside a new library
        os.replace(library, target)
        os.replace(digest, digest_file(target))
        _sync(target.parent)


def _run_together(commands: Iterable[list[str]]) -> None:
    running = [subprocess.Popen(c, stderr=subprocess.PIPE, text=True) for c in commands]
    for process in running:
        try:
            message = process.communicate(timeout=TIMEOUT)[1]
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise CompileError("the C++ compiler took too long") from error
        if process.returncode:
            lines = [line for line in message.splitlines() if "error" in line]
            lines += message.splitlines() or ["no message"]
            raise CompileError(f"the C++ compiler failed: {lines[0]}")
