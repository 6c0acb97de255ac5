# SPDX-License-Identifier: Apache-2.0
"""A look at the weights themselves: one row per module of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

import numpy as np

from ckpt_convert.read import Checkpoint


@dataclass
class Row:
    """Statistics of all parameters whose names start with `module`; moments of finite ones."""

    module: str
    tensors: int = 0
    parameters: int = 0
    zeros: int = 0
    non_finite: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float:
        """Mean of the finite parameters."""
        return self.total / max(self.parameters - self.non_finite, 1)

    @property
    def std(self) -> float:
        """Standard deviation of the finite parameters."""
        count = max(self.parameters - self.non_finite, 1)
        return sqrt(max(self.squares / count - self.mean**2, 0.0))

    def add(self, values: np.ndarray) -> None:
        """Account for one tensor."""
        values = values.astype(np.float64).reshape(-1)
        finite = values[np.isfinite(values)]
        self.tensors += 1
        self.parameters += values.size
        self.zeros += int(np.count_nonzero(values == 0))
        self.non_finite += values.size - finite.size
        self.total += float(finite.sum())
        self.squares += float(np.dot(finite, finite))


def audit(checkpoint: Checkpoint) -> list[Row]:
    """Rows of the modules in the order of the file, and one of the whole."""
    rows: dict[str, Row] = {}
    whole = Row("whole file")
    for name in checkpoint.names():
        module = ascii(name.partition(".")[0][:60])[1:-1]
        values = checkpoint.read(name)
        for row in (rows.setdefault(module, Row(module)), whole):
            row.add(values)
    return [*rows.values(), whole]


def table(rows: Iterable[Row]) -> str:
    """The rows as text in columns."""
    head = f"{'module':<32}{'tensors':>8}{'parameters':>13}{'mean':>12}{'std':>12}" \
           f"{'zeros':>11}{'non-finite':>12}"
    lines = [
        f"{r.module:<32}{r.tensors:>8}{r.parameters:>13,}{r.mean:>12.4g}{r.std:>12.4g}"
        f"{r.zeros:>11,}{r.non_finite:>12,}"
        for r in rows
    ]
    return "\n".join([head, *lines])
