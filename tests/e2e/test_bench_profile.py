# SPDX-License-Identifier: Apache-2.0
"""Check that `scripts/bench.py profile` writes a trace that a browser can show."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_trace_of_one_denoising_step(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "bench.py"), "profile",
               "--work=denoise", "--tokens=16", f"--out={tmp_path}",
               "--model=protenix_tiny_default_v0.5.0", f"--json={tmp_path / 'rows.json'}"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    trace = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))
    events = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    modules = [event for event in events if event["pid"] == 1]
    assert len(modules) > 100 and min(event["ts"] for event in events) == 0
    assert all(event["dur"] >= 0 for event in events)
    whole = next(e for e in modules if e["args"]["path"] == "DiffusionModule")
    end = whole["ts"] + whole["dur"]
    slack = 1000.0  # microseconds: two clocks are read
    assert all(-slack < e["ts"] - whole["ts"] and e["ts"] + e["dur"] < end + slack for e in events)
    products = [e for e in events if e["pid"] == 2 and e["name"] in ("MatMul", "Custom")]
    linears = [e for e in modules if e["cat"] == "Linear"]
    assert len(linears) > 50
    assert len(products) > 50  # whole layers are one kernel of ours, "Custom"
    rows = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))["rows"]
    seconds = {row["work"]: row["seconds"] for row in rows if row["side"] == "module"}
    own = sum(seconds.values())
    assert abs(1e6 * own - whole["dur"]) < 1e-3 * whole["dur"]  # every moment belongs to a module
    assert "diffusion_transformer.blocks.*" in seconds
    transition = seconds["diffusion_transformer.blocks.*.conditioned_transition_block"]
    assert transition > 0.01 * own  # one kernel
    assert "Custom" in run.stdout and "trace.json" in run.stdout
