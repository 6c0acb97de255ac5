# SPDX-License-Identifier: Apache-2.0
"""Best rigid superposition of two point sets (Kabsch 1976), in numpy."""

from __future__ import annotations

import numpy as np

from protenix_ms.typing import Array, Float


def rigid_motion(
    moving: Float[Array, "a 3"],
    fixed: Float[Array, "a 3"],
    weights: Float[Array, "a"] | None = None,
) -> tuple[Float[Array, "3 3"], Float[Array, "3"]]:
    """Rotation R and translation t that minimise ``sum w |moving R^T + t - fixed|^2``.

    Mirror images are never made. Works in float64.
    """
    w = np.ones(len(moving)) if weights is None else np.asarray(weights, np.float64)
    w = w / w.sum()
    x, y = np.asarray(moving, np.float64), np.asarray(fixed, np.float64)
    centre_x, centre_y = w @ x, w @ y
    u, _, vt = np.linalg.svd((x - centre_x).T @ ((y - centre_y) * w[:, None]))
    handedness = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])
    rotation = (u * handedness @ vt).T
    return rotation, centre_y - rotation @ centre_x


def superpose(
    moving: Float[Array, "a 3"],
    fixed: Float[Array, "a 3"],
    weights: Float[Array, "a"] | None = None,
) -> Float[Array, "a 3"]:
    """`moving` laid on `fixed` by the best rigid motion, float64."""
    rotation, translation = rigid_motion(moving, fixed, weights)
    return np.asarray(moving, np.float64) @ rotation.T + translation
