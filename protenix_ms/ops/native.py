# SPDX-License-Identifier: Apache-2.0
"""Find the compiled CPU kernels in the package or in the cache, or compile them at first use.

A library belongs to one version, one hash of sources and flags, one architecture and (in the
cache) one compiler. No other is ever loaded, and none that differs from its digest: a damaged
library is compiled again. Without a compiler MindSpore's own operators serve, and one line of the
log says so.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import logging
import os
import platform
from functools import cache
from pathlib import Path

from protenix_ms import __version__
from protenix_ms.config.home import kernels_dir
from protenix_ms.errors import ConfigError
from protenix_ms.ops import compile_kernels
from protenix_ms.ops.compile_kernels import CompileError
from protenix_ms.runtime.policy import policy

PACKAGED = Path(__file__).resolve().parent / "compiled"
"""Folder in which `setup.py` leaves the library if it could build it."""

ISA_VARIABLE = "PROTENIX_MS_ISA"
"""Environment variable that limits the instruction set of the kernels."""

INSTRUCTION_SETS = ("plain", "avx2", "avx512")
"""Values of the variable; the place of each, from one, is its number in csrc/cpu/kernels.h."""

_log = logging.getLogger(__name__)


def _compiled(folder: Path) -> Path:
    """Compile the library into `folder` if it is not there; processes may do so together."""
    compiler = compile_kernels.find_compiler()
    if compiler is None:
        raise CompileError("no C++ compiler (g++, c++ or clang++) on the path")
    origin = (compile_kernels.compiler_version(compiler), platform.libc_ver())
    digest = hashlib.sha256(repr(origin).encode()).hexdigest()[:8]
    stem = compile_kernels.library_name().removesuffix(".so")
    target = folder / f"{__version__}-{stem}-{digest}.so"
    if compile_kernels.is_whole(target):
        return target
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(folder / ".lock", "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not compile_kernels.is_whole(target):
            if target.exists():
                _log.warning("CPU kernels in %s are damaged: compiling them again", target)
            _log.info("compiling CPU kernels into %s (once, some seconds)", target)
            compile_kernels.compile_library(target, compiler)
    return target


def _verified() -> Path:
    """Choose the packaged library if it is whole, else that of the cache."""
    packaged = PACKAGED / compile_kernels.library_name()
    if compile_kernels.is_whole(packaged):
        return packaged
    if packaged.exists():
        _log.warning("CPU kernels in %s are damaged: install protenix-ms again", packaged)
    return _compiled(kernels_dir())


def _check_isa(best: str) -> None:
    wanted = os.environ.get(ISA_VARIABLE)
    if wanted and wanted != best:  # the library obeys the variable where it can
        known = wanted in INSTRUCTION_SETS
        raise ConfigError(
            f"'{wanted}' {'is more than this machine has' if known else 'is no instruction set'}",
            where=ISA_VARIABLE, fix=f"use one of {', '.join(INSTRUCTION_SETS)} up to '{best}'",
        )


@cache
def library_path() -> Path | None:
    """Find the library to load; None, logged once, where only MindSpore's operators serve.

    Raises:
        ConfigError: if PROTENIX_MS_ISA names no instruction set of this machine.
    """
    try:
        path = _verified()
        _check_isa(INSTRUCTION_SETS[ctypes.CDLL(str(path)).pms_best_isa() - 1])
    except (CompileError, OSError) as error:
        _log.warning("CPU kernels are off, MindSpore's own slower operators serve: %s", error)
        return None
    return path


@cache
def library() -> ctypes.CDLL | None:
    """Load the library for calls through ctypes; None where there is none."""
    path = library_path()
    return None if path is None else ctypes.CDLL(str(path))


def kernels_serve() -> bool:
    """Tell whether to call kernels now: the policy wants them and the library is there."""
    return policy().kernels and policy().device == "CPU" and library_path() is not None
