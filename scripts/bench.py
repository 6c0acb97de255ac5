# SPDX-License-Identifier: Apache-2.0
"""Measure speed, memory and learning: `python scripts/bench.py WORKLOAD [options]`.

    python scripts/bench.py blocks --work pairformer,msa --tokens 64,128 --json blocks.json
    python scripts/bench.py table blocks.json

Every workload prints a Markdown table and writes one JSON format with `--json FILE`; `table`
prints the tables of such files again. `WORKLOAD --help` says what a workload measures. Sides
that run PyTorch Protenix need it installed, as scripts/test.sh does.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts" / "bench")]

from measure import environment, make_record, render  # noqa: E402

WORKLOADS = {
    "blocks": "network", "predict": "network", "memory": "growth", "long": "long",
    "train": "training", "recompute": "training", "overfit": "overfit",
    "attention": "attention", "profile": "profiling", "convert": "conversion",
    "encoder": "encoding", "demo": "demonstration",
}


def parse(words: list[str]) -> argparse.Namespace:
    """Parse the command line; only the module of the chosen workload is imported."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="workload", metavar="WORKLOAD", required=True)
    for name, module in WORKLOADS.items():
        command = commands.add_parser(name, help=f"see {name} --help")
        if words[:1] == [name]:
            run, add_arguments = importlib.import_module(module).WORKLOADS[name]
            command.description = inspect.getdoc(run)
            command.formatter_class = argparse.RawDescriptionHelpFormatter
            command.add_argument("--json", type=Path, metavar="FILE", help="write the rows here")
            command.add_argument("--serve", help=argparse.SUPPRESS)  # the side of a child process
            add_arguments(command)
            command.set_defaults(run=run)
    table = commands.add_parser("table", help="print the tables of JSON files")
    table.add_argument("files", type=Path, nargs="+")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Run a workload, then print and write its rows."""
    args = parse(words)
    if args.workload == "table":
        for file in args.files:
            print(render(json.loads(file.read_text(encoding="utf-8"))))
        return 0
    if any(os.environ.get(k) != v for k, v in environment("ours").items()):  # read at start only
        os.execve(sys.executable, [sys.executable, *sys.argv], environment("ours"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no child is left behind
    if args.serve:
        sys.stdout = sys.stderr  # libraries that print do not disturb the answers
    rows = args.run(args)
    if args.serve or rows is None:
        return 0
    record = make_record(args, rows, words)
    print(render(record))
    if args.json:
        args.json.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
