# SPDX-License-Identifier: Apache-2.0
"""A panel of tiny jobs with bad ones, and the command that runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("pairformer", "diffusion_module.transformer", "msa_module", "confidence_head")
UNREADABLE = "[Xx]"  # a SMILES that no job can have


def write_panel(path: Path, good: int, bad: int) -> None:
    """Write `good` jobs of 4 to 8 residues, and `bad` ones: unreadable and too large in turn."""
    jobs = [{"name": f"good{i:03}", "sequences": [{"proteinChain": {
        "sequence": ("GSKCALWD" * 2)[i % 8:][:4 + i % 5], "count": 1}}]} for i in range(good)]
    large = {"proteinChain": {"sequence": "A" * 60_000, "count": 1}}
    unreadable = {"ligand": {"ligand": UNREADABLE, "count": 1}}
    jobs += [{"name": f"bad{i:03}", "sequences": [large if i % 2 else unreadable]}
             for i in range(bad)]
    path.write_text(json.dumps(jobs))


def command(jobs: Path, output: Path, *words: str) -> list[str]:
    """Write the command that predicts a panel with a small model."""
    small = [word for part in SMALL for word in ("--set", f"model.{part}.n_blocks=1")]
    return [sys.executable, "scripts/predict.py", "--input", str(jobs), "--output", str(output),
            "--model", "protenix_tiny_default_v0.5.0", *small, "--random-weights", "1",
            "--samples", "1", "--cycles", "1", "--steps", "2", "--no-plots", *words]


def begin(jobs: Path, output: Path, *words: str) -> subprocess.Popen:
    """Start the command; its two streams come together."""
    return subprocess.Popen(command(jobs, output, *words), cwd=ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            env={**os.environ, "PYTHONPATH": str(ROOT)})


def run(jobs: Path, output: Path, *words: str) -> tuple[int, str]:
    """Run the command; return its code and what it wrote."""
    process = begin(jobs, output, *words)
    text, _ = process.communicate(timeout=3600)
    return process.returncode, text


def wait_for(process: subprocess.Popen, phrase: str) -> str:
    """Read what a command writes up to a line with a phrase."""
    text = ""
    for line in process.stdout:
        text += line
        if phrase in line:
            return text
    raise AssertionError(f"no {phrase!r} in:\n{text}")


def workers() -> list[int]:
    """List the processes of workers of this user, those that are zombies left out."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"protenix_ms.cli.worker" in words:
            found.append(int(path.parent.name))
    return found


def parent(pid: int) -> int:
    """Return the parent of a process, 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def workers_of(driver: int) -> list[int]:
    """List the workers below a process, at any depth."""
    def below(pid: int) -> bool:
        return pid > 1 and (pid == driver or below(parent(pid)))

    return [pid for pid in workers() if below(pid)]


def are_gone(pids: list[int], seconds: float = 20.0) -> bool:
    """Wait for the end of processes."""
    end = time.monotonic() + seconds
    while set(pids) & set(workers()) and time.monotonic() < end:
        time.sleep(0.1)
    return not set(pids) & set(workers())


def stop(process: subprocess.Popen, number: signal.Signals) -> tuple[int, str]:
    """Send a signal to a command; return its code and the rest of what it wrote."""
    process.send_signal(number)
    text, _ = process.communicate(timeout=120)
    return process.returncode, text


def tree(output: Path) -> dict[str, bytes]:
    """Read all files but locks and records, which hold times, and the page that lists them."""
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*")
            if path.is_file() and path.suffix != ".lock"
            and path.name not in ("run.json", "index.html")}
