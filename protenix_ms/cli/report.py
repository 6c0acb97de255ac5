# SPDX-License-Identifier: Apache-2.0
"""Output of a command: bars on a terminal, plain lines elsewhere, a table at the end."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import TextIOBase

from tqdm import tqdm

from protenix_ms.predict.duration import say_duration

STAGES = {"recycle": "recycles", "step": "sampler steps", "sample": "scored samples"}
_PLAIN_SECONDS = 10.0


class _Stream(TextIOBase):
    """A standard stream that drops what it cannot show instead of raising.

    Args:
        inner: the stream; None where the process was started without it.
    """

    def __init__(self, inner: TextIOBase | None) -> None:
        self._inner = inner

    @property
    def encoding(self) -> str:  # `_io._TextIOBase` answers None
        return (self._inner and self._inner.encoding) or "utf-8"

    def isatty(self) -> bool:
        return self._inner is not None and self._inner.isatty()

    def fileno(self) -> int:
        return self._inner.fileno() if self._inner else super().fileno()

    def write(self, text: str) -> int:
        """Write the text, or drop it where nobody reads any more."""
        if self._inner is not None:
            shown = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
            try:
                self._inner.write(shown)
            except (OSError, ValueError):
                self._drop()
        return len(text)

    def flush(self) -> None:
        """Flush the stream, or drop the rest where nobody reads any more."""
        try:
            if self._inner is not None:
                self._inner.flush()
        except (OSError, ValueError):
            self._drop()

    def _drop(self) -> None:
        """Show nothing from now on; Python's own last flush of the stream must not fail either."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with suppress(OSError, ValueError):
            os.dup2(nowhere, self._inner.fileno())
        os.close(nowhere)
        self._inner = None


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Run a command so that closed or narrow standard streams cost only the lines they lose.

    A descriptor that is closed is opened on the null device: otherwise the next file would take
    its number, and MindSpore's messages would go into a result.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != descriptor:
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
            os.set_inheritable(descriptor, True)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_Stream, before)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


class Progress:
    """Shows how far one job and seed are: one bar on a terminal, elsewhere a line now and then.

    A line comes when a stage ends, and every ten seconds within it. The time that is left follows
    from the share of the planned work that is done.
    """

    def __init__(self, job: str, seed: int, plan: Mapping[str, float], stream: TextIOBase) -> None:
        self._job, self._seed, self._plan, self._stream = job, seed, plan, stream
        self._bar: tqdm | None = None
        self._shares = dict.fromkeys(plan, 0.0)
        self._start = self._last = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        self._shares[stage] = done / max(total, 1)
        name = f"{STAGES.get(stage, stage)} {done}/{total}"
        if self._stream.isatty():
            self._draw(name)
        elif done == total or time.monotonic() - self._last >= _PLAIN_SECONDS:
            self._last = time.monotonic()
            print(f"{self._job}, seed {self._seed}: {name}{self._left()}", file=self._stream,
                  flush=True)

    def _share(self) -> float:
        """Compute the share of the planned seconds that is done."""
        total = sum(self._plan.values())
        return sum(share * self._plan.get(stage, 0.0) for stage, share in self._shares.items()
                   ) / total if total else 0.0

    def _left(self) -> str:
        elapsed, share = time.monotonic() - self._start, self._share()
        left = elapsed * (1 - share) / share if share else 0.0
        return f", about {say_duration(left)} left" if left >= 1 else ""

    def _draw(self, name: str) -> None:
        if self._bar is None:
            self._bar = tqdm(total=100.0, file=self._stream, leave=False, smoothing=0,
                             bar_format="{desc} |{bar}| {percentage:.0f}%, {remaining} left")
        self._bar.set_description_str(f"{self._job} seed {self._seed}: {name}", refresh=False)
        self._bar.update(100 * self._share() - self._bar.n)
        self._bar.refresh()
        if all(self._shares[stage] >= 1 for stage in self._plan):
            self._bar.close()
            self._bar = None


class Console:
    """The command line's `predict.batch.Reporter`: news on standard output, bars on error."""

    def __init__(self, quiet: bool = False, debug: bool = False,
                 stream: TextIOBase | None = None) -> None:
        """Write only errors and the final table if `quiet`, tracebacks of defects if `debug`."""
        self._quiet, self._debug = quiet, debug
        self._plan: Mapping[str, float] = {}
        self._stream = stream or sys.stderr

    def line(self, text: str) -> None:
        """Print news."""
        if not self._quiet:
            print(text, flush=True)

    def expect(self, plan: Mapping[str, float]) -> None:
        """Take the seconds that the stages of the next job and seed will take."""
        self._plan = plan

    def progress(self, job: str, seed: int) -> Callable[[str, int, int], None]:
        """Return a callback for (stage, done, total)."""
        return (lambda *_: None) if self._quiet else Progress(job, seed, self._plan, self._stream)

    def defect(self, error: BaseException) -> None:
        """Print the traceback under `--debug`."""
        if self._debug:
            traceback.print_exception(error, file=self._stream)


@contextmanager
def counting(unit: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Give a callback for (done, total): a bar on a terminal, elsewhere a line now and then."""
    last = time.monotonic()
    with tqdm(unit=f" {unit}", disable=quiet or None) as bar:
        def progress(done: int, total: int) -> None:
            nonlocal last
            bar.total = total
            bar.update(done - bar.n)
            if bar.disable and not quiet and time.monotonic() - last >= _PLAIN_SECONDS:
                last = time.monotonic()
                print(f"{unit}: {done} of {total}", file=sys.stderr, flush=True)

        yield progress


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Align cells in columns under a head; the last column is as wide as it is."""
    text = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*text)][:-1]
    lines = ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths)), row[-1]])
             for row in text]
    return "\n".join(line.rstrip() for line in lines)
