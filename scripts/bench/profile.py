# SPDX-License-Identifier: Apache-2.0
"""Where the time of a prediction or of one block goes: modules, operators, and a Chrome trace.

    python scripts/bench/profile.py --work denoise --tokens 128 --out profile

Writes `trace.json` (open it in chrome://tracing or ui.perfetto.dev: modules above, MindSpore's
operators below) and `modules.json` to the folder `--out`. Modules are timed by hooks on every cell,
"self" without the cells they call; blocks of a stack count together. What a module calls by another
method than `construct` or `added`, such as a channel-first projection, counts as its own. Operators
come from MindSpore's profiler, whose own files are not kept.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import blocks
import predict
from sides import environment

MODULES, OPERATORS = 1, 2  # process numbers of the trace
MOST_EVENTS = 200_000  # of each kind; later ones are left out and counted


@dataclass
class Modules:
    """Times of every cell below a root, from hooks.

    Attributes:
        events: Chrome trace events, microseconds of the clock.
        calls, total, own: by path, with `*` for the number of a block; own without inner cells.
        lost: events beyond `MOST_EVENTS`.
    """

    events: list[dict] = field(default_factory=list)
    calls: Counter = field(default_factory=Counter)
    total: Counter = field(default_factory=Counter)
    own: Counter = field(default_factory=Counter)
    lost: int = 0
    _open: list[list] = field(default_factory=list)  # [path, start, time of inner cells]

    @contextmanager
    def watch(self, root: object) -> Iterator[None]:
        """Time every cell: its call, and `added` of those that add their update themselves."""
        with ExitStack() as watched:
            for path, cell in root.cells_and_names():
                name, kind = path or type(root).__name__, type(cell).__name__
                before = cell.register_forward_pre_hook(lambda *_, name=name: self._enter(name))
                after = cell.register_forward_hook(lambda *_, kind=kind: self._leave(kind))
                watched.callback(before.remove)
                watched.callback(after.remove)
                if hasattr(cell, "added"):
                    vars(cell)["added"] = self._timed(name, kind, cell.added)
                    watched.callback(vars(cell).pop, "added")
            yield

    def _timed(self, path: str, kind: str, function: Callable) -> Callable:
        def timed(*inputs, **options):
            self._enter(path)
            result = function(*inputs, **options)
            self._leave(kind)
            return result

        return timed

    def _enter(self, path: str) -> None:
        self._open.append([path, time.time_ns() / 1e3, 0.0])

    def _leave(self, kind: str) -> None:
        path, start, inner = self._open.pop()
        duration = time.time_ns() / 1e3 - start
        name = re.sub(r"\.\d+(?=\.|$)", ".*", path)
        self.own[name] += duration - inner
        if self._open:
            self._open[-1][2] += duration
            if self._open[-1][0] == path:  # `added` by a call of itself
                return
        self.calls[name] += 1
        self.total[name] += duration
        if len(self.events) >= MOST_EVENTS:
            self.lost += 1
            return
        self.events.append({
            "ph": "X", "pid": MODULES, "tid": 1, "cat": kind, "name": path.rpartition(".")[2],
            "ts": start, "dur": duration, "args": {"path": path},
        })


def operators(folder: Path) -> list[dict]:
    """Events of MindSpore's profiler, numbered operators under one name."""
    events = []
    for file in folder.rglob("trace_view.json"):
        for event in json.loads(file.read_text(encoding="utf-8")):
            if event["ph"] == "X" and event["name"] != "Default":  # the scope of all
                name = re.sub(r"-op\d+$", "", event["name"]).rpartition("/")[2]
                events.append({**event, "name": name, "pid": OPERATORS, "tid": 1,
                               "ts": float(event["ts"]), "dur": float(event["dur"])})
    return sorted(events, key=lambda event: event["ts"])[:MOST_EVENTS]


def measured(root: object, run: Callable[[], object]) -> tuple[Modules, list[dict], float]:
    """One run under hooks and profiler: modules, operators, seconds."""
    from mindspore.profiler import ProfilerActivity, profile, tensorboard_trace_handler

    modules = Modules()
    with modules.watch(root), tempfile.TemporaryDirectory(prefix="profile-") as folder:
        started = profile(activities=[ProfilerActivity.CPU],
                          on_trace_ready=tensorboard_trace_handler(folder))
        with started:
            start = time.perf_counter()
            run()
            seconds = time.perf_counter() - start
        found = operators(Path(folder))
    return modules, found, seconds


def write_trace(file: Path, modules: Modules, found: list[dict]) -> None:
    """A Chrome trace whose time starts at 0."""
    events = [*modules.events, *found]
    first = min((event["ts"] for event in events), default=0.0)
    for event in events:
        event["ts"] -= first
    names = ((MODULES, "modules"), (OPERATORS, "MindSpore operators"))
    labels = [{"ph": "M", "name": "process_name", "pid": pid, "args": {"name": name}}
              for pid, name in names]
    text = json.dumps({"traceEvents": labels + events, "displayTimeUnit": "ms"})
    file.write_text(text, encoding="utf-8")


def show(modules: Modules, found: list[dict], seconds: float, rows: int) -> None:
    """Two tables: modules by own time, operators by time."""
    print(f"{seconds:.3f} s under the profiler, load {os.getloadavg()[0]:.1f}; milliseconds")
    print(f"{'self':>9}{'share':>7}{'total':>10}{'calls':>7}  module")
    for name, own in modules.own.most_common(rows):
        print(f"{own / 1e3:9.1f}{own / seconds / 1e6:7.1%}{modules.total[name] / 1e3:10.1f}"
              f"{modules.calls[name]:7}  {name}")
    by_name, calls = Counter(), Counter(event["name"] for event in found)
    for event in found:
        by_name[event["name"]] += event["dur"]
    print(f"{'time':>9}{'share':>7}{'calls':>17}  operator (Custom: our kernels)")
    for name, time_ in by_name.most_common(rows):
        print(f"{time_ / 1e3:9.1f}{time_ / seconds / 1e6:7.1%}{calls[name]:17}  {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    works = ("predict", *blocks.WORKS)
    parser.add_argument("--work", default="predict", choices=works)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--model", default="protenix_tiny_default_v0.5.0")
    parser.add_argument("--cycles", type=int, default=1, help="of a prediction")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--rows", type=int, default=30, help="of each table")
    parser.add_argument("--out", type=Path, default=Path("profile"))
    args = parser.parse_args()
    os.environ.update(environment("ours"))
    if args.work == "predict":
        root = predict.our_model(args)
        run = predict.ours(args, root)(args.tokens)
    else:
        root = blocks.our_cell(args.work, blocks.get_config(args.model))
        run = blocks.ours(args, root)(args.tokens)
    run()
    modules, found, seconds = measured(root, run)
    args.out.mkdir(parents=True, exist_ok=True)
    write_trace(args.out / "trace.json", modules, found)
    table = {name: {"calls": modules.calls[name], "total_us": modules.total[name], "self_us": own}
             for name, own in modules.own.most_common()}
    record = {"seconds": seconds, "settings": vars(args), "modules": table}
    text = json.dumps(record, indent=2, default=str)
    (args.out / "modules.json").write_text(text, encoding="utf-8")
    show(modules, found, seconds, args.rows)
    print(f"{args.out / 'trace.json'}: {len(modules.events)} modules, {len(found)} operators"
          + (f"; {modules.lost} left out" if modules.lost else ""))


if __name__ == "__main__":
    main()
