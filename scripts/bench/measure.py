# SPDX-License-Identifier: Apache-2.0
"""Measure sides in turns, in one process or in several, and render the rows.

A row is a dictionary with `work`, `tokens`, `side`, `seconds`, `memory_gb` and any other numbers.
In processes of their own, sides read token counts and answer with seconds and memory. They run in
turns, the waiting ones stopped, and the median counts. Memory is the peak of the process minus
what it held before. All sides get huge pages, PyTorch its best `MALLOC_*` settings too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / "bench.py"
SMALL = 16  # tokens of the input that warms up before memory is read
SAMPLED = 64  # numbers of each output that travel, to see that all sides did the same work
# The allocator settings under which PyTorch is fastest: freed memory is kept.
KEEP_FREED = {"MALLOC_MMAP_THRESHOLD_": "8000000000", "MALLOC_TRIM_THRESHOLD_": "16000000000",
              "MALLOC_TOP_PAD_": "500000000"}
STANDARD = ("work", "tokens", "side", "seconds", "memory_gb")
RECORDED = ("process_gb", "peak_gflops")  # in the JSON only
INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile")

Work = Callable[[int], Callable[[], object]]
"""``work(tokens)`` prepares inputs and returns what is timed, which returns arrays, numbers by
name, or None."""


def memory(name: str) -> float:
    """Read VmHWM (peak) or VmRSS (now) of this process, in GB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith(name))


def forget_peak() -> None:
    """Reset VmHWM to what the process holds now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def environment(side: str) -> dict[str, str]:
    """Return the environment of a side's process."""
    new = {**os.environ, **(KEEP_FREED if side == "upstream" else {})}
    return {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "GLOG_v": "4", **new}


def child_command(side: str, **options: object) -> list[str]:
    """Return this very command for a child: the same words, then what differs."""
    words = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, str(BENCH), *sys.argv[1:], f"--serve={side}", *words]


def answer(value: object) -> None:
    """Send a value to the parent, on the standard output that this process began with."""
    print(json.dumps(value), file=sys.__stdout__, flush=True)


def _sample(outputs: object) -> list[list[float]]:
    """Take some numbers of every output."""
    import numpy as np

    arrays = [np.asarray(x.asnumpy() if hasattr(x, "asnumpy") else x) for x in outputs or ()]
    return [x.reshape(-1)[:: max(1, x.size // SAMPLED)].astype(float).tolist() for x in arrays]


def serve(work: Work, small: int | None = SMALL) -> None:
    """Time one run for every token count read from standard input, in a child.

    Args:
        work: the side.
        small: tokens of the input that runs before memory is read, None for no such run.
    """
    if small:
        work(small)()
    held = memory("VmRSS")
    answer("ready")
    for line in sys.stdin:
        run = work(int(line))
        start = time.perf_counter(), time.process_time()
        outputs = run()
        clock, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
        numbers = outputs if isinstance(outputs, dict) else {}
        answer({"seconds": clock, "cpu_seconds": cpu, "memory_gb": memory("VmHWM") - held,
                "process_gb": memory("VmHWM"), **numbers,
                "outputs": [] if numbers else _sample(outputs)})


def alternate(sides: Sequence[str], work: str, tokens: int, repeats: int) -> list[dict]:
    """Run all sides of one case in turns, in processes of their own.

    Returns:
        A row per side: medians of all numbers but memory, which is the last run's. Where both
        return arrays, the first row has `difference` to the second, relative to the largest.
    """
    options = {"work": work, "tokens": tokens}
    children = {side: subprocess.Popen(child_command(side, **options), env=environment(side),
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                for side in sides}
    answers: dict[str, list[dict]] = {side: [] for side in sides}
    try:
        for child in children.values():
            child.stdout.readline()  # ready
            child.send_signal(signal.SIGSTOP)
        for _ in range(repeats + 1):  # the first run of each warms up
            for side, child in children.items():
                child.send_signal(signal.SIGCONT)
                answers[side].append(_ask(child, side, tokens))
                child.send_signal(signal.SIGSTOP)  # or its idle threads spin beside the others
    finally:
        for child in children.values():
            child.kill()
            child.wait()
    rows = [{**options, "side": side, **_medians(runs)} for side, runs in answers.items()]
    outputs = [answers[side][0]["outputs"] for side in sides[:2]]
    if len(sides) > 1 and all(outputs):
        rows[0]["difference"] = _difference(*outputs)
    return rows


def _ask(child: subprocess.Popen, side: str, tokens: int) -> dict:
    try:
        child.stdin.write(f"{tokens}\n")
        child.stdin.flush()
        return json.loads(child.stdout.readline())
    except (BrokenPipeError, json.JSONDecodeError):
        raise SystemExit(f"{side} ended with {child.wait(60)} at {tokens} tokens; -9 is the "
                         "system's when all sides need more memory than is there") from None


def _medians(runs: list[dict]) -> dict:
    timed = runs[1:] or runs
    row = {k: statistics.median(run[k] for run in timed) for k in runs[0] if k != "outputs"}
    return row | {k: runs[-1][k] for k in ("memory_gb", "process_gb")}


def _difference(ours: list, theirs: list) -> float:
    return max(max(abs(x - y) for x, y in zip(a, b, strict=True)) / max(map(abs, b))
               for a, b in zip(ours, theirs, strict=True))


def in_turns(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, dict]:
    """Time functions of this process in turns: medians of clock and CPU seconds by name."""
    answers: dict[str, list] = {name: [] for name in runs}
    for _ in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter(), time.process_time()
            run()
            end = time.perf_counter(), time.process_time()
            answers[name].append([b - a for a, b in zip(start, end)])
    return {name: dict(zip(("seconds", "cpu_seconds"), map(statistics.median, zip(*rest))))
            for name, (_, *rest) in answers.items()}


def peak_gflops() -> float:
    """Measure a float32 product of 2048^3 on this machine: the better of MindSpore's and ours."""
    import mindspore
    import numpy as np
    from mindspore import Tensor, ops

    from protenix_ms.ops.functional import linear

    mindspore.runtime.launch_blocking()
    x = Tensor.from_numpy(np.ones((2048, 2048), np.float32))
    ways = {"MindSpore": ops.MatMul(transpose_b=True), "ours": lambda a, b: linear(a, b, None)}
    runs = {name: lambda way=way: way(x, x).asnumpy() for name, way in ways.items()}
    return 2 * 2048**3 / min(row["seconds"] for row in in_turns(runs, 5).values()) / 1e9


def make_record(args: argparse.Namespace, rows: list[dict], words: list[str]) -> dict:
    """Return rows with all that is needed to read them: command, date, machine, versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    facts = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    settings = {k: v for k, v in vars(args).items() if k not in ("run", "serve", "json")}
    return {
        "workload": args.workload, "command": f"python scripts/bench.py {shlex.join(words)}",
        "date": date.today().isoformat(), "settings": settings, "rows": rows,
        "machine": {"cpu": facts.get("model name", platform.machine()),
                    "instructions": [i for i in INSTRUCTIONS if i in facts.get("flags", "")],
                    "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0]},
        "versions": {name: version(name) for name in ("protenix-ms", "mindspore", "numpy")},
    }


def render(record: dict) -> str:
    """Render a record as Markdown: a line of facts, one table, the command that makes it.

    A table row is one `work` and `tokens`. Each side has its columns of seconds and GB, followed by
    the ratios of the first side to the second, and all other numbers.
    """
    rows, machine = record["rows"], record["machine"]
    sides = list(dict.fromkeys(row["side"] for row in rows))
    cases: dict[tuple, dict] = {}
    for row in rows:
        cases.setdefault((row["work"], row.get("tokens")), {})[row["side"]] = row
    lines = []
    for (work, tokens), case in cases.items():
        line = {"work": work, "tokens": tokens}
        for key, unit in (("seconds", "s"), ("memory_gb", "GB")):
            values = [case.get(side, {}).get(key) for side in sides]
            line |= {f"{side} {unit}": value for side, value in zip(sides, values)}
            if len(sides) > 1 and None not in values[:2]:
                line[f"ratio {unit}"] = values[0] / max(values[1], 1e-9)
        for side, row in case.items():
            line |= {f"{side} {k}": x for k, x in row.items() if k not in STANDARD + RECORDED}
        lines.append({key: _text(x) for key, x in line.items() if x is not None})
    columns = list(dict.fromkeys(key for line in lines for key in line))
    table = [columns, ["---"] * len(columns), *([x.get(c, "") for c in columns] for x in lines)]
    return "\n".join([
        f"{record['workload']}: {machine['cpu']}, {machine['cores']} cores, "
        f"{' '.join(machine['instructions'])}, load {machine['load']:.1f}, {record['date']}", "",
        *(f"| {' | '.join(cells)} |" for cells in table), "", "```", record["command"], "```", ""])


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
