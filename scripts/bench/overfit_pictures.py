# SPDX-License-Identifier: Apache-2.0
"""Pictures of `overfit.py`: curves, and samples laid on known structures."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from protenix_ms.train.curves import running_mean


@dataclass(frozen=True)
class Laid:
    """A sample laid on the known structure; its trace of centre atoms.

    Attributes:
        name: of the entry.
        lddt: of the sample, 0-1.
        known, sampled: angstrom.
        breaks: places where a new stretch of neighbouring residues begins.
    """

    name: str
    lddt: float
    known: np.ndarray
    sampled: np.ndarray
    breaks: np.ndarray


def picture(figure) -> bytes:
    """A figure as PNG; the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def structures_png(shown: list[Laid]) -> bytes:
    """Known and sampled traces of all crops."""
    figure = Figure(figsize=(13, 7), layout="constrained")
    grey, blue = "#9a9a9a", "#1f6fb4"
    for place, one in enumerate(shown):
        axes = figure.add_subplot(2, -(-len(shown) // 2), place + 1, projection="3d")
        middle = one.known.mean(0)
        for x, colour, width in ((one.known, grey, 2.6), (one.sampled, blue, 1.3)):
            for part in np.split(x - middle, one.breaks):
                axes.plot(*part.T, color=colour, linewidth=width, marker="o", markersize=1)
        axes.set_title(f"{one.name}: lDDT {one.lddt:.2f}", fontsize=11)
        axes.set_box_aspect(np.ptp(one.known, axis=0), zoom=1.25)
        axes.set_axis_off()
    figure.suptitle("CA and C1' traces: known structure (grey), sample from noise (blue)")
    return picture(figure)


def curves_png(log: list[dict], judged: list[dict], choice: str, goal: float) -> bytes:
    """Loss terms, and lDDT of every crop, by update.

    Args:
        log, judged: lines of the run's record.
        choice: which of the judged samples.
        goal: lDDT to reach.
    """
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for term in ("loss", "mse", "smooth_lddt", "distogram"):
        y = np.array([np.nan if line.get(term) is None else line[term] for line in log])
        width, smooth = running_mean(y)
        left.plot(np.arange(len(smooth)) + width, smooth, label=term)
    left.set(yscale="log", xlabel="update", title="training loss and its terms (running mean)")
    left.legend(fontsize=8)
    for name in dict.fromkeys(line["entry"] for line in judged):
        lines = [line for line in judged if line["entry"] == name and "failed" not in line]
        whole = name == "all"
        right.plot([line["step"] for line in lines], [line["lddt"][choice] for line in lines],
                   label="mean" if whole else name, color="black" if whole else None,
                   linewidth=2.4 if whole else 1.0, marker="o", markersize=3)
    right.axhline(goal, color="#b00020", linestyle="--", linewidth=1)
    right.set(xlabel="update", ylim=(0, 1), title="complex lDDT of samples from noise")
    right.legend(fontsize=8, ncols=2)
    return picture(figure)
