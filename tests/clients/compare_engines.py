# SPDX-License-Identifier: Apache-2.0
"""Run 200 tiny jobs, 10 of them bad, by one worker, by two, and by Ray; compare all files.

    python tests/clients/compare_engines.py FOLDER [--jobs 200]

Ends with 1 if the trees or the tables differ, or a run ends with another code than 1.
"""

import argparse
import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "data"))

import panel  # noqa: E402

ENGINES = {"one worker": ["--workers", "1"], "two workers": ["--workers", "2"],
           "ray": ["--engine", "ray", "--workers", "2"]}


def peak(output: Path) -> float:
    """Return the largest memory that a record of a run names, in GB."""
    records = (json.loads(path.read_text()) for path in output.glob("*/run.json"))
    return max((record["peak_memory_gb"] for record in records), default=0.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=200)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    jobs, good = args.folder / "jobs.json", args.jobs - args.jobs // 20
    panel.write_panel(jobs, good, args.jobs - good)
    first, verdict = None, 0
    for name, words in ENGINES.items():
        if name == "ray" and find_spec("ray") is None:
            print("ray: not run, this machine has no ray (extra 'cluster')")
            continue
        output = args.folder / name.replace(" ", "_")
        start = time.monotonic()
        code, text = panel.run(jobs, output, *words)
        seconds = time.monotonic() - start
        files = panel.tree(output)
        first = first or files
        same = files == first and code == 1 and text.count("1 sample in") == good
        verdict |= not same
        print(f"{name}: {seconds:.0f} s, {seconds / good:.2f} s a job, {len(files)} files, at most "
              f"{peak(output):.2f} GB, {'same' if same else 'DIFFERENT'}", flush=True)
    return verdict


if __name__ == "__main__":
    sys.exit(main())
