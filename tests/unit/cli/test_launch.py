# SPDX-License-Identifier: Apache-2.0
"""One re-exec with MindSpore's settings; a person's own settings and msrun ranks stay."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from protenix_ms.cli import launch
from protenix_ms.config import home

ROOT = Path(__file__).resolve().parents[3]


def test_settings_are_added_and_own_ones_kept(monkeypatch):
    new = launch.settings({"PATH": "x"})
    assert new["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1" and new["GLOG_v"] == "4"
    new = launch.settings({"GLIBC_TUNABLES": "glibc.malloc.check=1", "GLOG_v": "1"})
    assert new["GLIBC_TUNABLES"] == "glibc.malloc.check=1:glibc.malloc.hugetlb=1"
    assert new["GLOG_v"] == "1"
    monkeypatch.setattr(sys, "orig_argv", ["python", "p.py", "predict", "--device", "Ascend"])
    assert launch.settings({})["GLOG_v"] == "3"
    own = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=2"}
    assert launch.settings(own)["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=2"


@pytest.mark.parametrize("variable", ["MS_ROLE", "RANK_ID", "PROTENIX_MS_LAUNCHED"])
def test_ranks_and_second_starts_are_left_alone(monkeypatch, variable):
    for name in ("MS_ROLE", "RANK_ID", "MS_NODE_ID", "PROTENIX_MS_LAUNCHED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("started anew"))
    monkeypatch.setenv(variable, "1")
    launch.relaunch()


@pytest.mark.parametrize("variables, announced", [
    ({}, "{op}"), ({"ASCEND_CUSTOM_OPP_PATH": "/a"}, "{op}:/a"),
    ({"ASCEND_CUSTOM_OPP_PATH": "{op}:/a"}, "{op}:/a"),
])
def test_a_built_op_is_announced_to_ranks_too(monkeypatch, tmp_path, variables, announced):
    """MindSpore reads the variable when it is loaded; an op that is announced already stays."""
    header = tmp_path / "op" / home.ASCEND_HEADER
    header.parent.mkdir(parents=True)
    header.touch()
    monkeypatch.setattr(home, "ASCEND_OP", tmp_path / "op")
    monkeypatch.setattr(os, "environ", {"RANK_ID": "1"} | {
        k: v.format(op=tmp_path / "op") for k, v in variables.items()})
    launch.relaunch()
    assert os.environ["ASCEND_CUSTOM_OPP_PATH"] == announced.format(op=tmp_path / "op")
    cached = "{op}" not in variables.get("ASCEND_CUSTOM_OPP_PATH", "")
    assert ("MS_COMPILER_CACHE_PATH" in os.environ) == cached


def test_ranks_wait_for_an_evaluation(monkeypatch):
    monkeypatch.setattr(os, "environ", {"RANK_ID": "1", "HCCL_EXEC_TIMEOUT": "60"})
    launch.relaunch()
    assert int(os.environ["MS_CPU_COMM_OP_TIMEOUT"]) >= 3600
    assert os.environ["HCCL_EXEC_TIMEOUT"] == "60"  # a person's own stays


def test_without_an_op_nothing_is_announced(monkeypatch, tmp_path):
    monkeypatch.setattr(home, "ASCEND_OP", tmp_path)
    assert not home.ascend_settings({"ASCEND_CUSTOM_OPP_PATH": "/a"})


@pytest.mark.skipif(sys.platform != "linux", reason="this machine has no glibc to read")
def test_a_process_starts_anew_once_with_its_arguments(tmp_path):
    script = tmp_path / "s.py"
    script.write_text("import os, sys\nfrom protenix_ms.cli import launch\nprint('start')\n"
                      "sys.stdout.flush()\nlaunch.relaunch()\n"
                      "print(os.environ['GLIBC_TUNABLES'], sys.argv[1:])\n")
    environment = {k: v for k, v in os.environ.items()
                   if k not in ("PROTENIX_MS_LAUNCHED", "GLIBC_TUNABLES")}
    done = subprocess.run([sys.executable, script, "a b", "--c"], capture_output=True, text=True,
                          env=environment, timeout=60, check=True)
    assert done.stdout.splitlines() == ["start", "start",
                                        "glibc.malloc.hugetlb=1 ['a b', '--c']"]


@pytest.mark.skipif(sys.platform != "linux", reason="this machine has no limit on addresses")
@pytest.mark.parametrize("kilobytes", [1_000_000, 1_900_000])
def test_a_limit_on_addresses_ends_in_one_sentence(tmp_path, kilobytes):
    """Neither MindSpore's start nor its end may show a traceback or abort."""
    (tmp_path / "j.fasta").write_text(">A|protein\nMKV\n")
    words = [sys.executable, "-m", "protenix_ms.cli.main", "predict", "--input", "j.fasta",
             "--output", "o", "--random-weights", "0", "--quiet"]
    done = subprocess.run(["bash", "-c", f'ulimit -v {kilobytes}; exec "$@"', "-", *words],
                          cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "GLOG_v": "4"},
                          capture_output=True, text=True, timeout=600)
    assert done.returncode in (1, 2) and "memory" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and "Fatal" not in done.stderr
    assert done.returncode == 1 or len(done.stderr.splitlines()) == 1
