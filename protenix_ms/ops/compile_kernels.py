# SPDX-License-Identifier: Apache-2.0
"""Compiles the C++ CPU kernels into one shared library, for `setup.py` and for `native`.

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
    """No compiler, or it failed; the message is one line."""


def machine() -> str:
    """Architecture the library is for, such as "x86_64"."""
    return platform.machine().lower() or "unknown"


def units() -> dict[str, tuple[str, ...]]:
    """Translation units of this architecture and their extra flags."""
    files = sorted(path.name for path in SOURCES.glob("*.cc"))
    x86 = machine() in ("x86_64", "amd64")
    extra = ("-DPMS_X86",) if x86 else ()
    return {
        name: (*X86_UNITS.get(name, ()), *extra)
        for name in files if x86 or name not in X86_UNITS
    }


def source_hash() -> str:
    """Twelve digits that change with any source or flag."""
    digest = hashlib.sha256(repr((FLAGS, sorted(units().items()))).encode())
    for path in sorted(SOURCES.iterdir()):
        if path.suffix in (".cc", ".h"):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def library_name() -> str:
    """File name of the library inside an installation."""
    return f"kernels-{source_hash()}-{machine()}.so"


def find_compiler() -> str | None:
    """`$CXX` if it exists, else g++, c++ or clang++ of the path."""
    for name in (os.environ.get("CXX", ""), "g++", "c++", "clang++"):
        found = shutil.which(name) if name else None
        if found:
            return found
    return None


def compiler_version(compiler: str) -> str:
    """First line of what the compiler says about itself."""
    try:
        said = subprocess.run(
            [compiler, "--version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CompileError(f"{compiler} --version failed: {error}") from error
    return said.stdout.partition("\n")[0]


def digest_file(library: Path) -> Path:
    """Where the SHA-256 of a library stands: beside it."""
    return library.with_name(f"{library.name}.sha256")


def is_whole(library: Path) -> bool:
    """Whether a library is what `compile_library` wrote.

    One that is not must never be loaded: a page that is missing ends the process by a signal, and
    other bytes do anything at all.
    """
    try:
        expected = digest_file(library).read_bytes()
        return hashlib.sha256(library.read_bytes()).hexdigest().encode() == expected
    except OSError:
        return False


def _synced(path: Path) -> None:
    """What is in the file, or the folder, has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def compile_library(target: Path, compiler: str, extra: tuple[str, ...] = ()) -> None:
    """Compile every unit side by side and link them; `target` appears whole or not at all.

    Its digest appears beside it, so that `is_whole` can tell what a crash has left.

    Args:
        target: the library to make; its folder must exist.
        compiler: path of a C++17 compiler.
        extra: more flags for units and linking, such as sanitizers.

    Raises:
        CompileError: with the last line the compiler said.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".kernels-") as folder:
        objects, running = [], []
        for name, flags in units().items():
            output = str(Path(folder) / f"{name}.o")
            command = [compiler, *FLAGS, *flags, *extra, "-c", str(SOURCES / name), "-o", output]
            objects.append(output)
            running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        for process in running:
            _finish(process)
        library = Path(folder) / target.name
        link = [compiler, "-shared", "-pthread", *extra, *objects, "-o", str(library)]
        _finish(subprocess.Popen(link, stderr=subprocess.PIPE, text=True))
        digest = digest_file(library)
        digest.write_text(hashlib.sha256(library.read_bytes()).hexdigest(), encoding="ascii")
        _synced(library)
        _synced(digest)
        digest_file(target).unlink(missing_ok=True)  # never an old digest beside a new library
        os.replace(library, target)
        os.replace(digest, digest_file(target))
        _synced(target.parent)


def _finish(process: subprocess.Popen) -> None:
    try:
        said = process.communicate(timeout=TIMEOUT)[1]
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise CompileError("the C++ compiler took too long") from error
    if process.returncode:
        lines = [line for line in said.splitlines() if "error" in line] or said.splitlines()
        raise CompileError(f"the C++ compiler failed: {lines[0] if lines else 'no message'}")
