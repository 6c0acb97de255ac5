# SPDX-License-Identifier: Apache-2.0
"""One re-exec with MindSpore's settings; a person's own settings and msrun ranks stay."""

import os
import subprocess
import sys

import pytest

from protenix_ms.cli import launch


def test_settings_are_added_and_own_ones_kept():
    new = launch.settings({"PATH": "x"})
    assert new["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1" and new["GLOG_v"] == "3"
    new = launch.settings({"GLIBC_TUNABLES": "glibc.malloc.check=1", "GLOG_v": "1"})
    assert new["GLIBC_TUNABLES"] == "glibc.malloc.check=1:glibc.malloc.hugetlb=1"
    assert new["GLOG_v"] == "1"
    own = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=2"}
    assert launch.settings(own)["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=2"


@pytest.mark.parametrize("variable", ["MS_ROLE", "RANK_ID", "PROTENIX_MS_LAUNCHED"])
def test_ranks_and_second_starts_are_left_alone(monkeypatch, variable):
    for name in ("MS_ROLE", "RANK_ID", "MS_NODE_ID", "PROTENIX_MS_LAUNCHED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("started anew"))
    monkeypatch.setenv(variable, "1")
    launch.relaunch()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is read on Linux only")
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
