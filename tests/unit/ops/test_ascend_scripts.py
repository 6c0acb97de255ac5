# SPDX-License-Identifier: Apache-2.0
"""What of the device owner's scripts can be tried without a device: layout and refusals."""

import json
import os
import subprocess
import sys
from pathlib import Path

from emulated_device import ROOT, SOURCES

BUILD = ROOT / "scripts" / "build_ascend_op.sh"
BARE = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}


def run(*command, env=BARE):
    return subprocess.run(
        [str(x) for x in command], capture_output=True, text=True, timeout=200, env=env
    )


def test_sources_are_laid_out_for_the_compiler(tmp_path):
    assert run("bash", BUILD, "--stage-only", tmp_path, "--off", "ASYNC,MASK").returncode == 0
    for folder in ("op_host", "op_kernel"):
        staged = {p.name for p in (tmp_path / folder).iterdir()}
        assert staged == {p.name for p in (SOURCES / folder).iterdir()} | {"evo_tiling.h"}
        head = (tmp_path / folder / "evo_tiling.h").read_text(encoding="utf-8").splitlines()[:2]
        assert head == ["#define EVO_OPT_ASYNC 0", "#define EVO_OPT_MASK 0"]
    included = [
        line.split('"')[1] for p in SOURCES.glob("op_*/*")
        for line in p.read_text(encoding="utf-8").splitlines() if line.startswith('#include "evo')
    ]
    assert all((tmp_path / "op_kernel" / n).exists() or (tmp_path / "op_host" / n).exists()
               for n in included)


def test_what_is_missing_is_named(tmp_path):
    refused = run("bash", BUILD)
    assert refused.returncode == 2 and "set_env.sh" in refused.stderr
    refused = run("bash", BUILD, "--stage-only", tmp_path, "--off", "SPEED")
    assert refused.returncode == 2 and "SPEED" in refused.stderr
    refused = run("bash", ROOT / "scripts" / "verify_on_ascend.sh", "--report", tmp_path)
    assert refused.returncode == 2 and "npu-smi" in refused.stderr


def test_the_tables_of_the_verification(tmp_path):
    """The same program on the implementations of CPU."""
    out = Path(tmp_path) / "report.json"
    env = os.environ | {"PYTHONPATH": str(ROOT), "GLOG_v": "4"}
    done = run(
        sys.executable, ROOT / "scripts" / "verify_on_ascend.py", "--device", "CPU", "--quick",
        "--out", out, env=env,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    checked = [r for r in rows if "dbias" in r]
    assert {r["mode"] for r in checked} == {"jit", "PyNative"} and len(checked) == 8
    assert len([r for r in rows if "ms" in r]) == 8
