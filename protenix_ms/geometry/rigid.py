# SPDX-License-Identifier: Apache-2.0
"""Rigid motions: random rotations, best superposition (Kabsch 1976), frames of three atoms."""

from __future__ import annotations

import numpy as np

from protenix_ms.typing import Array, Float

SMALLEST_NORM = 1e-8  # angstrom; divides shorter vectors when they are made unit vectors


def random_rotations(rng: np.random.Generator, n: int) -> Float[Array, "n 3 3"]:
    """Draw `n` rotation matrices, uniform over SO(3), float64, from normal quaternions."""
    w, x, y, z = rng.standard_normal((4, n))
    scale = 2.0 / (w * w + x * x + y * y + z * z)
    rows = [
        [1 - scale * (y * y + z * z), scale * (x * y - w * z), scale * (x * z + w * y)],
        [scale * (x * y + w * z), 1 - scale * (x * x + z * z), scale * (y * z - w * x)],
        [scale * (x * z - w * y), scale * (y * z + w * x), 1 - scale * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def rigid_motion(
    moving: Float[Array, "a 3"],
    fixed: Float[Array, "a 3"],
    weights: Float[Array, "a"] | None = None,
) -> tuple[Float[Array, "3 3"], Float[Array, "3"]]:
    """Compute the R and t that minimise ``sum w |moving R^T + t - fixed|^2``, in float64.

    R is a proper rotation, never a reflection.
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
    """Lay `moving` on `fixed` by the best rigid motion, float64."""
    rotation, translation = rigid_motion(moving, fixed, weights)
    return np.asarray(moving, np.float64) @ rotation.T + translation


def express_in_frames(
    x: Float[Array, "n 3"], frames: Float[Array, "f 3 3"]
) -> Float[Array, "f n 3"]:
    """Express points in the frames of three atoms each (AF3 Algorithm 29), angstrom."""
    a, b, c = frames[:, 0], frames[:, 1], frames[:, 2]
    w1, w2 = _normalise(a - b), _normalise(c - b)
    e1, e2 = _normalise(w1 + w2), _normalise(w2 - w1)
    axes = np.stack([e1, e2, np.cross(e1, e2)], 1)
    local: Array = np.einsum("fnx,fkx->fnk", x[None] - b[:, None], axes)
    return local


def _normalise(x: Float[Array, "f 3"]) -> Float[Array, "f 3"]:
    unit: Array = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), SMALLEST_NORM)
    return unit
