# SPDX-License-Identifier: Apache-2.0
"""What a run leaves to look at: a line per update, a line per judged entry, curves.

Lines are whole or, after a kill, absent: `rewind` drops a torn one with those of updates that are
made again. Curves are drawn anew from the lines, so they cannot disagree.
"""

from __future__ import annotations

import fcntl
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from protenix_ms.errors import OutputError
from protenix_ms.io.atomic import write_bytes, write_text
from protenix_ms.train.curves import can_draw, curves_png

LOG, EVALUATION, CURVES, BOARD = "log.jsonl", "evaluation.jsonl", "curves.png", "tensorboard"
LOCK = "training.lock"


@contextmanager
def sole_training(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a folder for the block; the lock dies with its process.

    The file `LOCK` stays: without a training that holds it, it means nothing.

    Raises:
        OutputError: another training holds it, or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise
    except BlockingIOError:
        raise OutputError("another training is at work in this folder", where=str(folder),
                          fix="wait for its end, or choose another --output") from None
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror or error})", where=str(folder),
                          fix="check permissions, or choose another --output") from error
    with file:
        yield


class Record:
    """Files of a run.

    With TensorBoard installed the numbers go to ``tensorboard/`` too.

    Args:
        folder: of the run; made when the first line is added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._board: Any = None

    def add(self, file: str, line: dict) -> None:
        """Add a line to `LOG` or `EVALUATION`; what is not finite is null. Raises OutputError."""
        line = _without_non_finite(line)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / file).open("ab", buffering=0) as stream:
                stream.write(f"{json.dumps(line, allow_nan=False)}\n".encode())
        except OSError as error:
            raise OutputError(f"cannot be written ({error.strerror})",
                              where=str(self.folder / file),
                              fix="check permissions and free space") from error
        self._show(file, line)

    def lines(self, file: str) -> list[dict]:
        """All whole lines of a file; none if it is not there."""
        path = self.folder / file
        return list(_whole(path.read_bytes())) if path.is_file() else []

    def rewind(self, step: int) -> None:
        """Forget what came after update `step`, and torn lines."""
        for file, first_unknown in ((LOG, step), (EVALUATION, step + 1)):
            if (self.folder / file).is_file():
                kept = [line for line in self.lines(file) if line["step"] < first_unknown]
                write_text(self.folder / file, "".join(f"{json.dumps(k)}\n" for k in kept))

    def draw(self) -> None:
        """Curves of everything so far; nothing without matplotlib or lines."""
        log = self.lines(LOG)
        if log and can_draw():
            write_bytes(self.folder / CURVES, curves_png(log, self.lines(EVALUATION)))

    def _show(self, file: str, line: dict) -> None:
        if self._board is None:
            self._board = _new_board(self.folder / BOARD)
        if self._board and (file == LOG or line["entry"] == "all"):
            for name, value in _numbers(line):
                self._board.add_scalar(f"{Path(file).stem}/{name}", value, line["step"])
            self._board.flush()


def _whole(content: bytes) -> Iterator[dict]:
    for text in content.split(b"\n"):
        try:
            line = json.loads(text)
        except ValueError:  # torn, or the empty end
            continue
        if isinstance(line, dict) and "step" in line:
            yield _without_non_finite(line)  # of a run before they were left out


def _without_non_finite(value: Any) -> Any:
    """JSON knows neither NaN nor Infinity: None stands for them, at any depth."""
    if isinstance(value, dict):
        return {key: _without_non_finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_non_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _new_board(folder: Path) -> Any:
    """A writer for TensorBoard, or False where it is not installed."""
    if find_spec("tensorboard") is None:
        return False
    return import_module("tensorboard.summary").Writer(str(folder))


def _numbers(line: dict, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers of a line by name; groups have a slash."""
    for name, value in line.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and name != "step":
            yield f"{prefix}{name}", float(value)
