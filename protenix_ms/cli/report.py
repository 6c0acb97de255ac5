# SPDX-License-Identifier: Apache-2.0
"""What a run says while it works: bars on a terminal, plain lines elsewhere, a table at last."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Sequence
from io import TextIOBase

from tqdm import tqdm

STAGES = {"recycle": "recycles", "step": "sampler steps", "sample": "scored samples"}
_PLAIN_SECONDS = 10.0


class _Bar:
    """One bar per stage, replaced by the next stage's."""

    def __init__(self, job: str, seed: int, stream: TextIOBase) -> None:
        self._title, self._stream = f"{job} seed {seed}", stream
        self._stage, self._bar = "", None

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage or self._bar is None:
            self._stage = stage
            self._bar = tqdm(total=total, desc=f"{self._title}: {STAGES.get(stage, stage)}",
                             file=self._stream, leave=False)
        self._bar.update(done - self._bar.n)
        if done >= total:
            self._bar.close()
            self._bar = None


class _Lines:
    """A line when a stage ends, and every ten seconds within it."""

    def __init__(self, job: str, seed: int, stream: TextIOBase) -> None:
        self._title, self._stream, self._last = f"{job}, seed {seed}", stream, time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - self._last >= _PLAIN_SECONDS:
            self._last = now
            print(f"{self._title}: {STAGES.get(stage, stage)} {done}/{total}", file=self._stream,
                  flush=True)


class Console:
    """The command line's `predict.batch.Reporter`: news on standard output, bars on error."""

    def __init__(self, quiet: bool = False, debug: bool = False,
                 stream: TextIOBase | None = None) -> None:
        """`quiet`: only errors and the final table. `debug`: tracebacks of defects."""
        self._quiet, self._debug = quiet, debug
        self._stream = stream or sys.stderr

    def line(self, text: str) -> None:
        """Print news."""
        if not self._quiet:
            print(text, flush=True)

    def progress(self, job: str, seed: int):
        """A callback (stage, done, total)."""
        if self._quiet:
            return lambda stage, done, total: None
        kind = _Bar if self._stream.isatty() else _Lines
        return kind(job, seed, self._stream)

    def defect(self, error: BaseException) -> None:
        """Print the traceback under `--debug`."""
        if self._debug:
            traceback.print_exception(error, file=self._stream)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns under a head, as wide as their longest word; the last one is free."""
    text = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*text)][:-1]
    lines = ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths)), row[-1]])
             for row in text]
    return "\n".join(line.rstrip() for line in lines)
