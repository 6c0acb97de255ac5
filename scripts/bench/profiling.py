# SPDX-License-Identifier: Apache-2.0
"""Show where time goes in a prediction or a block: modules, operators, a Chrome trace."""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from inputs import add_sampling, our_model, sampling_settings
from network import WORKS, our_block, our_cell, our_prediction

MODULES, OPERATORS = 1, 2  # process numbers of the trace
MOST_EVENTS = 200_000  # of each kind; later ones are left out


@dataclass
class Modules:
    """Record the times of every cell below a root, by hooks.

    Attributes:
        events: Chrome trace events, microseconds of the clock.
        calls, total, own: by path, with `*` for the number of a block; own without inner cells.
    """

    events: list[dict] = field(default_factory=list)
    calls: Counter = field(default_factory=Counter)
    total: Counter = field(default_factory=Counter)
    own: Counter = field(default_factory=Counter)
    _open: list[list] = field(default_factory=list)  # [path, start, time of inner cells]

    @contextmanager
    def watch(self, root: object) -> Iterator[None]:
        """Time every call of every cell."""
        with ExitStack() as watched:
            for path, cell in root.cells_and_names():
                name, kind = path or type(root).__name__, type(cell).__name__
                before = cell.register_forward_pre_hook(lambda *_, name=name: self._enter(name))
                after = cell.register_forward_hook(lambda *_, kind=kind: self._leave(kind))
                watched.callback(before.remove)
                watched.callback(after.remove)
            yield

    def _enter(self, path: str) -> None:
        self._open.append([path, time.time_ns() / 1e3, 0.0])

    def _leave(self, kind: str) -> None:
        path, start, inner = self._open.pop()
        duration = time.time_ns() / 1e3 - start
        name = re.sub(r"\.\d+(?=\.|$)", ".*", path)
        self.own[name] += duration - inner
        if self._open:
            self._open[-1][2] += duration
        self.calls[name] += 1
        self.total[name] += duration
        if len(self.events) < MOST_EVENTS:
            self.events.append({
                "ph": "X", "pid": MODULES, "tid": 1, "cat": kind, "name": path.rpartition(".")[2],
                "ts": start, "dur": duration, "args": {"path": path}})


def operators(folder: Path) -> list[dict]:
    """Read the events of MindSpore's profiler, numbered operators under one name."""
    events = []
    for file in folder.rglob("trace_view.json"):
        for event in json.loads(file.read_text(encoding="utf-8")):
            if event["ph"] == "X" and event["name"] != "Default":  # the scope of all
                name = re.sub(r"-op\d+$", "", event["name"]).rpartition("/")[2]
                events.append({**event, "name": name, "pid": OPERATORS, "tid": 1,
                               "ts": float(event["ts"]), "dur": float(event["dur"])})
    return sorted(events, key=lambda event: event["ts"])[:MOST_EVENTS]


def watch_run(root: object, run: Callable[[], object]) -> tuple[Modules, list[dict], float]:
    """Run once under hooks and profiler; return modules, operators, seconds."""
    from mindspore.profiler import ProfilerActivity, tensorboard_trace_handler
    from mindspore.profiler import profile as record_profile

    modules = Modules()
    with modules.watch(root), tempfile.TemporaryDirectory(prefix="profile-") as folder:
        session = record_profile(activities=[ProfilerActivity.CPU],
                                 on_trace_ready=tensorboard_trace_handler(folder))
        with session:
            start = time.perf_counter()
            run()
            seconds = time.perf_counter() - start
        events = operators(Path(folder))
    return modules, events, seconds


def write_trace(file: Path, modules: Modules, others: list[dict]) -> None:
    """Write a Chrome trace whose time starts at 0."""
    events = [*modules.events, *others]
    first = min((event["ts"] for event in events), default=0.0)
    for event in events:
        event["ts"] -= first
    names = ((MODULES, "modules"), (OPERATORS, "MindSpore operators"))
    labels = [{"ph": "M", "name": "process_name", "pid": pid, "args": {"name": name}}
              for pid, name in names]
    text = json.dumps({"traceEvents": labels + events, "displayTimeUnit": "ms"})
    file.write_text(text, encoding="utf-8")


def profile(args: argparse.Namespace) -> list[dict]:
    """Show where time goes: a trace for chrome://tracing or ui.perfetto.dev, and tables.

    Writes `trace.json` (modules above, MindSpore's operators below) to `--out`.
    Modules are timed by hooks on every cell, "self" without the cells they call; blocks of a stack
    count together. What a module calls by another method than `construct` counts as its own.
    Operators come from MindSpore's profiler, whose own files are not kept.
    """
    if args.work == "predict":
        root = our_model(args.model, sampling_settings(args))
        run = our_prediction(args, model=root)(int(args.tokens))
    else:
        root = our_cell(args.work, args.model)
        run = our_block(args, root)(int(args.tokens))
    run()
    modules, events, seconds = watch_run(root, run)
    args.out.mkdir(parents=True, exist_ok=True)
    write_trace(args.out / "trace.json", modules, events)
    print(f"{args.out / 'trace.json'}: {len(modules.events)} modules, {len(events)} operators")
    return table_rows(modules, events, seconds)


def table_rows(modules: Modules, events: list[dict], seconds: float) -> list[dict]:
    """Return a row per module by its own time, then one per operator (Custom: our kernels)."""
    rows = [{"work": name, "side": "module", "seconds": own / 1e6, "share": own / seconds / 1e6,
             "total_seconds": modules.total[name] / 1e6, "calls": modules.calls[name]}
            for name, own in modules.own.most_common()]
    times, calls = Counter(), Counter(event["name"] for event in events)
    for event in events:
        times[event["name"]] += event["dur"]
    return rows + [{"work": name, "side": "operator", "seconds": time_ / 1e6,
                    "share": time_ / seconds / 1e6, "calls": calls[name]}
                   for name, time_ in times.most_common()]


def add_profile(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `profile`."""
    add_sampling(parser, "128", cycles=1, steps=5, samples=1)
    parser.add_argument("--work", default="predict", choices=("predict", *WORKS))
    parser.add_argument("--out", type=Path, default=Path("profile"))


WORKLOADS = {"profile": (profile, add_profile)}
