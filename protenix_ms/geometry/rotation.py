# SPDX-License-Identifier: Apache-2.0
"""Uniform random rotations."""

from __future__ import annotations

import numpy as np

from protenix_ms.typing import Array, Float


def random_rotations(rng: np.random.Generator, n: int) -> Float[Array, "n 3 3"]:
    """`n` rotation matrices, uniform over SO(3), float64: normalised normal quaternions."""
    w, x, y, z = rng.standard_normal((4, n))
    scale = 2.0 / (w * w + x * x + y * y + z * z)
    rows = [
        [1 - scale * (y * y + z * z), scale * (x * y - w * z), scale * (x * z + w * y)],
        [scale * (x * y + w * z), 1 - scale * (x * x + z * z), scale * (y * z - w * x)],
        [scale * (x * z - w * y), scale * (y * z + w * x), 1 - scale * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)
