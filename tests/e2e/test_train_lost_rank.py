# SPDX-License-Identifier: Apache-2.0
"""One of two processes that train together is killed: the job ends, and goes on where it was."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from protenix_ms.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 1200.0  # seconds, of a busy machine
MSRUN = Path(sys.executable).parent / "msrun"

pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(not MSRUN.exists(), reason="this machine has no msrun")]


@pytest.fixture(scope="module")
def data(deposits, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "cif").mkdir()
    deposit = deposits / "1mol.cif.gz"
    (folder / "cif" / deposit.name).write_bytes(deposit.read_bytes())
    words = ["prepare-data", str(folder / "cif"), "--output", str(folder / "data")]
    assert main([*words, "--processes", "1"]) == 0
    return folder / "data"


@contextmanager
def training(data: Path, output: Path, *words: str) -> Iterator[subprocess.Popen]:
    """Start two processes under `msrun`; end it with them, whatever happens in the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(MSRUN), "--worker_num=2", "--local_worker_num=2", "--join=True",
               f"--master_port={port}", f"--log_dir={output}.log", str(ROOT / "scripts/train.py"),
               "--data", str(data), "--output", str(output), "--config",
               str(ROOT / "tests/data/tiny_training.py"), "--loaders", "0", *words]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(command, cwd=output.parent, stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.STDOUT, env={**os.environ, "PATH": path},
                               start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def process_of(launcher: int, rank: int) -> int:
    """Find the process of a rank below `msrun`."""
    wanted = {b"MS_ROLE=MS_WORKER", f"MS_NODE_ID={rank}".encode()}
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return next(int(child) for child in children if wanted <= set(
        Path(f"/proc/{child}/environ").read_bytes().split(b"\0")))


def wait_for(path: Path, process: subprocess.Popen, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None and time.monotonic() < end, path
        time.sleep(0.1)


def checkpoint(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (output / "checkpoints/00000003").iterdir()}


def finish(data: Path, output: Path, *words: str) -> None:
    with training(data, output, *words) as process:
        text, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, text


def test_a_lost_process_costs_no_bits(data, tmp_path):
    finish(data, tmp_path / "whole")
    with training(data, tmp_path / "cut") as cut:
        wait_for(tmp_path / "cut/checkpoints/00000001/state.json", cut)
        os.kill(process_of(cut.pid, 1), signal.SIGKILL)
        text, _ = cut.communicate(timeout=PATIENCE)
    scheduler = (tmp_path / "cut.log/scheduler.log").read_text()
    assert cut.returncode == 1, text
    assert "lost a process of the 2 that train together" in scheduler and "--resume" in scheduler
    assert "Traceback" not in scheduler
    assert not (tmp_path / "cut/checkpoints/00000003").exists()
    finish(data, tmp_path / "cut", "--resume")
    assert checkpoint(tmp_path / "cut") == checkpoint(tmp_path / "whole")
