# SPDX-License-Identifier: Apache-2.0
"""Test the record and the table that all benches share, without measuring anything."""

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
ROWS = [
    {"work": "step", "tokens": 64, "side": "ours", "seconds": 1.0, "memory_gb": 2.0, "loss": 0.5},
    {"work": "step", "tokens": 64, "side": "upstream", "seconds": 4.0, "memory_gb": 8.0},
    {"work": "step", "tokens": 128, "side": "ours", "seconds": 3.0, "memory_gb": 3.0},
]


@pytest.fixture
def measure(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(SCRIPTS / "bench"), *sys.path])
    return importlib.import_module("measure")


@pytest.fixture
def record(measure):
    args = argparse.Namespace(workload="train", tokens="64,128", run=print, serve=None, json=None)
    return measure.make_record(args, ROWS, ["train", "--tokens", "64,128"])


def test_a_record_says_how_it_was_made(record):
    assert record["command"] == "python scripts/bench.py train --tokens 64,128"
    assert record["settings"] == {"workload": "train", "tokens": "64,128"}
    assert record["machine"]["cpu"] and record["machine"]["cores"] > 0 and record["date"]
    json.dumps(record)


def test_a_table_has_sides_and_ratios_and_ends_with_the_command(measure, record):
    lines = measure.render(record).splitlines()
    header, _, first, second = (line for line in lines if line.startswith("|"))
    cells = dict(zip(header.split(" | "), first.split(" | ")))
    assert cells["ours s"] == "1" and cells["upstream s"] == "4" and cells["ratio s"] == "0.25"
    assert cells["ratio GB"] == "0.25" and "0.5" in first and "ratio" not in second
    assert second.startswith("| step | 128 | 3 |  |")  # upstream was not measured there
    assert lines[-3:-1] == ["```", record["command"]] or lines[-2] == record["command"]


def test_the_command_prints_tables_of_files(tmp_path, record):
    file = tmp_path / "train.json"
    file.write_text(json.dumps(record))
    command = [sys.executable, SCRIPTS / "bench.py", "table", file, file]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.count(record["command"]) == 2


def test_growth_is_drawn_from_records(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(SCRIPTS / "bench"), *sys.path])
    growth = importlib.import_module("growth")
    rows = [{"work": "whole", "tokens": n, "side": "ours", "seconds": n**3 / 1e5,
             "memory_gb": n**2 / 1e4, "estimate_gb": n**2 / 9e3} for n in (512, 128)]
    growth.plot(rows, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
