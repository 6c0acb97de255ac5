# SPDX-License-Identifier: Apache-2.0
"""Curves of a run as one picture. matplotlib (extra `plot`) is imported when it is drawn."""

from __future__ import annotations

import io
from importlib.util import find_spec

import numpy as np

from protenix_ms.typing import Array, Float

TERMS = ("mse", "smooth_lddt", "distogram", "bond", "plddt", "pde", "resolved", "pae")
_SMOOTHED = 50  # points that a running mean leaves of a long curve


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def running_mean(y: Float[Array, "n"]) -> tuple[int, Float[Array, "m"]]:
    """Width of a window, and means over it; NaN does not count."""
    width = max(1, len(y) // _SMOOTHED)
    known, kernel = np.isfinite(y), np.ones(width)
    total = np.convolve(np.where(known, y, 0.0), kernel, "valid")
    with np.errstate(invalid="ignore"):
        return width, total / np.convolve(known, kernel, "valid")


def curves_png(log: list[dict], evaluation: list[dict]) -> bytes:
    """Loss, its terms without weights, norm and rate, and lDDT where it was evaluated.

    Args:
        log, evaluation: lines as `record` keeps them.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    judged = [line for line in evaluation if line["entry"] == "all"]
    figure = Figure(figsize=(14, 8) if judged else (14, 4.4), layout="constrained")
    canvas = FigureCanvasAgg(figure)
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
    canvas.print_png(buffer, metadata={"Software": None})
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
    """Values by name; NaN where a line has none."""
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
