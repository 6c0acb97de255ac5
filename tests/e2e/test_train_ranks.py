# SPDX-License-Identifier: Apache-2.0
"""Two processes under `msrun` make the updates of one that accumulates two examples."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from protenix_ms.cli.main import main
from protenix_ms.train.checkpoint import read_snapshot

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not (Path(sys.executable).parent / "msrun").exists(), reason="no msrun")
def test_same_gradients(deposits, tmp_path):
    (tmp_path / "cif").mkdir()
    deposit = deposits / "1mol.cif.gz"
    (tmp_path / "cif" / deposit.name).write_bytes(deposit.read_bytes())
    words = ["prepare-data", str(tmp_path / "cif"), "--output", str(tmp_path / "data")]
    assert main([*words, "--processes", "1"]) == 0
    script = [str(ROOT / "scripts" / "train.py"), "--data", str(tmp_path / "data"), "--quiet",
              "--config", str(ROOT / "tests" / "data" / "tiny_training.py"), "--loaders", "0",
              "--set", "training.max_steps=1"]
    alone = ["--output", str(tmp_path / "one"), "--set", "training.iters_to_accumulate=2"]
    subprocess.run([sys.executable, *script, *alone], check=True, timeout=300)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = [str(Path(sys.executable).parent / "msrun"), "--worker_num=2", "--join=True",
                "--local_worker_num=2", f"--master_port={port}", f"--log_dir={tmp_path / 'log'}"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([*launcher, *script, "--output", str(tmp_path / "two")], check=True,
                   timeout=300, cwd=tmp_path, env={**os.environ, "PATH": path})
    one, two = (read_snapshot(tmp_path / n / "checkpoints" / "00000001") for n in ("one", "two"))
    first = [name for name in one.moments if name.startswith("first/")]
    largest = max(np.abs(one.moments[name]).max() for name in first)
    assert one.moments.keys() == two.moments.keys() and largest > 0
    for name in first:  # the clipped mean gradient, times a constant
        assert np.abs(one.moments[name] - two.moments[name]).max() <= 1e-6 * largest, name
    lines = (tmp_path / "two" / "log.jsonl").read_text().splitlines()
    assert len(lines) == 1  # the second process writes nothing
