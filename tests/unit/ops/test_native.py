# SPDX-License-Identifier: Apache-2.0
"""Finding and making the compiled kernels: once among many, or one line and no failure."""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from protenix_ms.errors import ConfigError
from protenix_ms.ops import compile_kernels, native

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """Forget every library, packaged or cached; the real one is known again afterwards."""
    monkeypatch.setenv("PROTENIX_MS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(native, "PACKAGED", tmp_path / "packaged")
    native.library_path.cache_clear()
    yield tmp_path
    native.library_path.cache_clear()


def fake_compiler(folder: Path, body: str) -> str:
    path = folder / "fake-c++"
    path.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\n{body}\n', encoding="ascii")
    path.chmod(0o755)
    return str(path)


def lines_said(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_without_a_compiler_one_line_says_so(fresh, monkeypatch, caplog):
    monkeypatch.setenv("PATH", str(fresh))
    monkeypatch.setenv("CXX", "")
    assert [native.library_path() for _ in range(3)] == [None] * 3
    assert len(lines_said(caplog)) == 1 and "no C++ compiler" in lines_said(caplog)[0]
    assert not native.kernels_serve()


def test_a_failing_compiler_is_one_line_and_leaves_nothing(fresh, monkeypatch, caplog):
    script = 'case "$1" in --version) echo fake;; *) echo "x.cc:1: error: no" >&2; exit 1;; esac'
    monkeypatch.setenv("CXX", fake_compiler(fresh, script))
    assert native.library_path() is None
    assert len(lines_said(caplog)) == 1 and "x.cc:1: error: no" in lines_said(caplog)[0]
    assert [p.name for p in (fresh / "home/kernels").iterdir()] == [".lock"]


def test_a_library_that_cannot_be_loaded_is_one_line(fresh, caplog):
    (fresh / "packaged").mkdir()
    library = fresh / "packaged" / compile_kernels.library_name()
    library.write_text("not a library")
    digest = hashlib.sha256(library.read_bytes()).hexdigest()
    compile_kernels.digest_file(library).write_text(digest)
    assert native.library_path() is None
    assert len(lines_said(caplog)) == 1


def test_processes_that_start_together_compile_once(fresh, monkeypatch, kernels):
    real = kernels.library._name
    script = f'''case "$1" in --version) echo fake; exit;; esac
while [ "$1" != -o ]; do shift; done
sleep 0.05; cp {real} "$2"'''
    monkeypatch.setenv("CXX", fake_compiler(fresh, script))
    folder = fresh / "home/kernels"
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: native._compiled(folder), range(4)))
    (library,) = paths
    assert library.parent == folder and library.suffix == ".so"
    calls = (fresh / "calls").read_text().splitlines()
    assert sum("-shared" in line for line in calls) == 1
    digest = compile_kernels.digest_file(library)
    assert {p.name for p in folder.iterdir()} == {".lock", library.name, digest.name}


def test_the_name_follows_the_sources(monkeypatch, tmp_path):
    before = compile_kernels.library_name()
    copy = Path(shutil.copytree(compile_kernels.SOURCES, tmp_path / "cpu"))
    monkeypatch.setattr(compile_kernels, "SOURCES", copy)
    assert compile_kernels.library_name() == before
    with open(copy / "simd.h", "a", encoding="ascii") as header:
        header.write("// changed\n")
    assert compile_kernels.library_name() != before


def test_no_native_flags_reach_the_shared_cache():
    flags = [*compile_kernels.FLAGS, *(f for extra in compile_kernels.units().values()
                                       for f in extra)]
    assert not [f for f in flags if "native" in f or "fast-math" in f]


def test_installing_compiles_what_first_use_would_load(tmp_path, monkeypatch, kernels):
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", "*.npz", "tests"))
    script = f'case "$1" in --version) echo fake; exit;; esac\n' \
             f'while [ "$1" != -o ]; do shift; done\ncp {kernels.library._name} "$2"'
    monkeypatch.setenv("CXX", fake_compiler(tmp_path, script))
    built = subprocess.run(
        [sys.executable, "setup.py", "-q", "build", "--build-base", str(tmp_path / "built")],
        cwd=source, capture_output=True, text=True, timeout=120,
    )
    assert built.returncode == 0, built.stderr
    folder = tmp_path / "built/lib/protenix_ms/ops/compiled"
    library = folder / compile_kernels.library_name()
    assert set(folder.iterdir()) == {library, compile_kernels.digest_file(library)}
    assert compile_kernels.is_whole(library)


def flip(library: Path) -> None:
    content = bytearray(library.read_bytes())
    content[len(content) // 2] ^= 1
    library.write_bytes(content)


DAMAGES = {
    "cut short": lambda library: os.truncate(library, 1000),
    "cut by a byte": lambda library: os.truncate(library, library.stat().st_size - 1),
    "empty": lambda library: os.truncate(library, 0),
    "longer": lambda library: library.write_bytes(library.read_bytes() + b"\0"),
    "one bit": flip,
    "zeros": lambda library: library.write_bytes(bytes(library.stat().st_size)),
    "no digest": lambda library: compile_kernels.digest_file(library).unlink(),
    "empty digest": lambda library: compile_kernels.digest_file(library).write_text(""),
    "digest of zeros": lambda library: compile_kernels.digest_file(library).write_text("0" * 64),
    "digest that is no text": lambda library: compile_kernels.digest_file(library).write_bytes(
        b"\xff\x00"),
    "another's digest": lambda library: compile_kernels.digest_file(library).write_text(
        hashlib.sha256(b"another").hexdigest()),
}


def copying_compiler(folder: Path, library: str) -> str:
    """Stand in for a compiler: it only copies `library` and takes no time."""
    return fake_compiler(folder, f"""case "$1" in --version) echo fake; exit;; esac
while [ "$1" != -o ]; do shift; done
cp {library} "$2\"""")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("place", ["cache", "package"])
def test_a_damaged_library_is_compiled_again(fresh, monkeypatch, kernels, caplog, place, damage):
    monkeypatch.setenv("CXX", copying_compiler(fresh, kernels.library._name))
    (fresh / "packaged").mkdir()
    if place == "package":
        library = fresh / "packaged" / compile_kernels.library_name()
        compile_kernels.compile_library(library, os.environ["CXX"])
    else:
        library = native._compiled(fresh / "home/kernels")
    assert native._verified() == library
    DAMAGES[damage](library)
    serving = native.library_path()
    assert serving is not None and serving.parent == fresh / "home/kernels"
    assert compile_kernels.is_whole(serving)
    assert serving.read_bytes() == Path(kernels.library._name).read_bytes()
    assert len(lines_said(caplog)) == 1 and "damaged" in lines_said(caplog)[0]


def test_a_damaged_package_without_a_compiler_ends_nothing(fresh, monkeypatch, caplog):
    (fresh / "packaged").mkdir()
    (fresh / "packaged" / compile_kernels.library_name()).write_bytes(b"\x7fELF")
    monkeypatch.setenv("PATH", str(fresh))
    monkeypatch.setenv("CXX", "")
    assert native.library_path() is None
    assert ["damaged" in line for line in lines_said(caplog)] == [True, False]


def test_a_folder_in_place_of_the_library_ends_nothing(fresh, monkeypatch, kernels, caplog):
    monkeypatch.setenv("CXX", copying_compiler(fresh, kernels.library._name))
    library = native._compiled(fresh / "home/kernels")
    library.unlink()
    library.mkdir()
    assert native.library_path() is None
    assert "off" in lines_said(caplog)[-1]


@pytest.mark.parametrize("word", ["avx9", "AVX2", "avx512"])
def test_an_instruction_set_that_is_not_there_is_refused(monkeypatch, word):
    monkeypatch.setenv(native.ISA_VARIABLE, word)
    with pytest.raises(ConfigError, match=f"PROTENIX_MS_ISA: '{word}' is .*up to 'plain'"):
        native._check_isa("plain")
    monkeypatch.setenv(native.ISA_VARIABLE, "plain")
    native._check_isa("plain")


@pytest.mark.parametrize("word", native.INSTRUCTION_SETS)
def test_the_instruction_set_can_be_forced(kernels, word):
    if word not in kernels.isas():
        pytest.skip(f"this machine has no {word}")
    code = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).pms_best_isa())"
    run = subprocess.run([sys.executable, "-c", code, kernels.library._name], text=True, check=True,
                         capture_output=True, env={**os.environ, native.ISA_VARIABLE: word})
    assert int(run.stdout) == native.INSTRUCTION_SETS.index(word) + 1
