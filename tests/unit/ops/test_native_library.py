# SPDX-License-Identifier: Apache-2.0
"""Finding and making the compiled kernels: once among many, or one line and no failure."""

import logging
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from protenix_ms.ops import compile_kernels, native

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """No library known, packaged or cached; the real one is known again afterwards."""
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
    (fresh / "packaged" / compile_kernels.library_name()).write_text("not a library")
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
        made = set(pool.map(lambda _: native._compiled(folder), range(4)))
    (library,) = made
    assert library.parent == folder and library.suffix == ".so"
    calls = (fresh / "calls").read_text().splitlines()
    assert sum("-shared" in line for line in calls) == 1
    assert {p.name for p in folder.iterdir()} == {".lock", library.name}


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
    assert [p.name for p in folder.iterdir()] == [compile_kernels.library_name()]
