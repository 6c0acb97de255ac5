# SPDX-License-Identifier: Apache-2.0
"""Files that a run leaves to look at: a line per update and per judged entry, and curves.

Lines are whole or, after a kill, absent: `rewind` drops a torn one with those of updates that are
made again. Curves are drawn anew from the lines, so they cannot disagree.
"""

from __future__ import annotations

import fcntl
import io
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from protenix_ms.errors import OutputError
from protenix_ms.io.atomic import write_bytes, write_text
from protenix_ms.typing import Array, Float

LOG, EVALUATION, CURVES, BOARD = "log.jsonl", "evaluation.jsonl", "curves.png", "tensorboard"
LOCK = "training.lock"
TERMS = ("mse", "smooth_lddt", "distogram", "bond", "plddt", "pde", "resolved", "pae")
_SMOOTHED = 50  # points that a running mean leaves of a long curve


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
        raise OutputError("another training works in this folder", where=str(folder),
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
        """Read all whole lines of a file; none if it is not there."""
        path = self.folder / file
        return list(_whole(path.read_bytes())) if path.is_file() else []

    def rewind(self, step: int) -> None:
        """Forget what came after update `step`, and torn lines."""
        for file, first_unknown in ((LOG, step), (EVALUATION, step + 1)):
            if (self.folder / file).is_file():
                kept = [line for line in self.lines(file) if line["step"] < first_unknown]
                write_text(self.folder / file, "".join(f"{json.dumps(k)}\n" for k in kept))

    def draw(self) -> None:
        """Draw curves of everything so far; nothing without matplotlib or lines."""
        log = self.lines(LOG)
        if log and find_spec("matplotlib"):
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
    """Replace NaN and infinity by None at any depth: JSON has neither."""
    if isinstance(value, dict):
        return {key: _without_non_finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_non_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _new_board(folder: Path) -> Any:
    """Return a writer for TensorBoard, or False where it is not installed."""
    if find_spec("tensorboard") is None:
        return False
    return import_module("tensorboard.summary").Writer(str(folder))


def _numbers(line: dict, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of a line by name; groups have a slash."""
    for name, value in line.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and name != "step":
            yield f"{prefix}{name}", float(value)


def judged_text(line: dict) -> str:
    """Write one line of an evaluation for people."""
    if "failed" in line:
        return f"  {line['entry']}: {line['failed']}"
    words = [f"{title} " + "/".join("-" if line[score][kind] is None else f"{line[score][kind]:.3f}"
                                    for kind in ("best", "rank1", "median"))
             for score, title in (("lddt", "lDDT"), ("rmsd", "RMSD"), ("tm_score", "TM"))]
    clash = line["clash"]["mean"]
    return (f"  {line['entry']}: {', '.join(words)} (best/rank 1/median), "
            f"clashes {'-' if clash is None else f'{clash:.0%}'}")


def running_mean(y: Float[Array, "n"]) -> tuple[int, Float[Array, "m"]]:
    """Return the width of a window, and means over it; NaN does not count."""
    width = max(1, len(y) // _SMOOTHED)
    known, kernel = np.isfinite(y), np.ones(width)
    total = np.convolve(np.where(known, y, 0.0), kernel, "valid")
    with np.errstate(invalid="ignore"):
        return width, total / np.convolve(known, kernel, "valid")


def curves_png(log: list[dict], evaluation: list[dict]) -> bytes:
    """Draw loss, its terms without weights, norm and rate, and lDDT where it was evaluated.

    Args:
        log, evaluation: lines as `record` keeps them.
    """
    from matplotlib.figure import Figure

    judged = [line for line in evaluation if line["entry"] == "all"]
    figure = Figure(figsize=(14, 8) if judged else (14, 4.4), layout="constrained")
    panels = np.ravel(figure.subplots(2 if judged else 1, 3))
    step = _column(log, "step") + 1
    _curve(panels[0], step, _column(log, "loss"), "loss")
    for name in TERMS:
        _curve(panels[1], step, _column(log, name), name)
    _curve(panels[2], step, _column(log, "gradient_norm"), "gradient norm")
    _curve(panels[2], step, _column(log, "rate"), "learning rate")
    for axes, title in zip(panels, ("loss", "terms", "gradient norm and rate")):
        axes.set(title=title, xlabel="update", yscale="log")
        if axes.get_lines():  # none where every value was left out
            axes.legend(fontsize=8)
    if judged:
        _draw_scores(panels[3:], judged)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw_scores(panels: Array, judged: list[dict]) -> None:
    names = {"lddt": "complex lDDT", "pair_lddt": "lDDT between chains",
             "rmsd": "RMSD (\u00c5)"}
    step = _column(judged, "step")
    for axes, (score, title) in zip(panels, names.items()):
        for choice in ("best", "rank1", "median"):
            values = _column([line[score] for line in judged], choice)
            axes.plot(step, values, marker="o", markersize=3, label=choice)
        axes.set(title=f"{title}, held out", xlabel="update")
        axes.legend(fontsize=8)


def _column(lines: list[dict], name: str) -> Float[Array, "n"]:
    """Collect the values of a name; NaN where a line has none."""
    values = [line.get(name) for line in lines]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _curve(axes, x: Float[Array, "n"], y: Float[Array, "n"], name: str) -> None:
    y = np.where(y > 0, y, np.nan)  # the axis is logarithmic
    if not np.isfinite(y).any():
        return
    width, smooth = running_mean(y)
    line = axes.plot(x, y, linewidth=0.8, alpha=0.35 if width > 1 else 1.0,
                     label=None if width > 1 else name)[0]
    if width > 1:
        axes.plot(x[width - 1 :], smooth, linewidth=1.4, color=line.get_color(), label=name)
