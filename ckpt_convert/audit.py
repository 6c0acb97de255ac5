# SPDX-License-Identifier: Apache-2.0
"""Statistics of the weights of a checkpoint, one row per module."""

from __future__ import annotations

from collections import defaultdict
from math import sqrt

import numpy as np

from ckpt_convert.checkpoint import Checkpoint

WHOLE = "whole file"


def audit(checkpoint: Checkpoint) -> str:
    """Tabulate tensors, parameters, moments, zeros and non-finite values by module, as text.

    Modules are the first parts of parameter names, in the order of the file; the last row is the
    whole file. Mean and standard deviation are those of the finite parameters.

    Args:
        checkpoint: an open file; every tensor is read once.
    """
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(6))
    for name in checkpoint.names():
        values = checkpoint.read(name).astype(np.float64).reshape(-1)
        finite = values[np.isfinite(values)]
        row = (1, values.size, np.count_nonzero(values == 0), values.size - finite.size,
               finite.sum(), np.dot(finite, finite))
        for module in (ascii(name.partition(".")[0][:60])[1:-1], WHOLE):
            sums[module] += row
    sums[WHOLE] = sums.pop(WHOLE)  # to the end
    lines = [f"{'module':<32}{'tensors':>8}{'parameters':>13}{'mean':>12}{'std':>12}"
             f"{'zeros':>11}{'non-finite':>12}"]
    for module, (tensors, parameters, zeros, non_finite, total, squares) in sums.items():
        count = max(parameters - non_finite, 1)
        mean = total / count
        std = sqrt(max(squares / count - mean**2, 0.0))
        lines.append(f"{module:<32}{tensors:>8.0f}{parameters:>13,.0f}{mean:>12.4g}{std:>12.4g}"
                     f"{zeros:>11,.0f}{non_finite:>12,.0f}")
    return "\n".join(lines)
