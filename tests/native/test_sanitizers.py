# SPDX-License-Identifier: Apache-2.0
"""The C++ kernels under the address, undefined-behaviour and thread sanitizers."""

import os
import subprocess
from pathlib import Path

import pytest

from protenix_ms.ops import compile_kernels

DRIVERS = [Path(__file__).with_name(name) for name in ("run_kernels.cc", "run_layers.cc")]
SANITIZERS = {
    "address and undefined": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "thread": ("-fsanitize=thread",),
}


def compile_driver(folder: Path, compiler: str, flags: tuple[str, ...]) -> Path:
    """Link the drivers with every unit, unoptimised enough to be quick and readable."""
    flags = (*flags, "-O1", "-g1")
    library = folder / "libkernels.so"
    compile_kernels.compile_library(library, compiler, flags)
    program = folder / "run_kernels"
    command = [
        compiler, "-std=c++17", *flags, f"-I{compile_kernels.SOURCES}", *map(str, DRIVERS),
        f"-L{folder}", "-lkernels", f"-Wl,-rpath,{folder}", "-pthread", "-o", str(program),
    ]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    return program


def can_sanitize(compiler: str, folder: Path, flags: tuple[str, ...]) -> bool:
    """Tell whether this machine has the sanitizer's library and lets it run."""
    source = folder / "empty.cc"
    source.write_text("int main() { return 0; }\n", encoding="ascii")
    command = [compiler, *flags, str(source), "-o", str(folder / "empty")]
    if subprocess.run(command, capture_output=True, timeout=60).returncode:
        return False
    return subprocess.run([folder / "empty"], capture_output=True, timeout=60).returncode == 0


@pytest.mark.parametrize("name", SANITIZERS)
def test_kernels_under_sanitizers(tmp_path, name):
    compiler = compile_kernels.find_compiler()
    if compiler is None:
        pytest.skip("this machine has no C++ compiler")
    flags = SANITIZERS[name]
    if not can_sanitize(compiler, tmp_path, flags):
        pytest.skip(f"this machine has no {name} sanitizer")
    program = compile_driver(tmp_path, compiler, flags)
    command = [program, "races"] if name == "thread" else [program]
    # the driver forks: the child, which starts workers of its own, may go on
    environment = {**os.environ, "TSAN_OPTIONS": "die_after_fork=0"}
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-6000:]
