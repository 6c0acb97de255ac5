# SPDX-License-Identifier: Apache-2.0
"""Internal coordinates of groups of atoms, with their derivatives.

Every function takes the positions ``[s, k, m, 3]`` of `m` groups of `k` atoms in `s` samples, in
angstrom, float64. It returns values ``[s, m]`` and derivatives ``[s, k, m, 3]``. The small terms
and the order of operations are those of upstream `protenix.tfg.potentials`: its projection
amplifies rounding by up to 20 000.
"""

from __future__ import annotations

import numpy as np

from protenix_ms.typing import Array, Float

TINY = 1e-8
_DEGENERATE = 1e-10  # squared length below which a planar group has no normal

Measure = tuple[Float[Array, "s m"], Float[Array, "s k m 3"]]


def distance(x: Float[Array, "s 2 m 3"]) -> Measure:
    """Measure the distance of two atoms in angstrom, at least 1e-8."""
    r = x[:, 0] - x[:, 1]
    length = np.maximum(_length(r), TINY)
    unit = r / length[..., None]
    return length, np.stack([unit, -unit], axis=1)


def angle(x: Float[Array, "s 3 m 3"]) -> Measure:
    """Measure the angle at the second of three atoms, 0 to pi."""
    u, v = x[:, 0] - x[:, 1], x[:, 2] - x[:, 1]
    normal = _cross(u, v)
    area = _length(normal)
    value = np.arctan2(area, _dot(u, v) + TINY)
    by_i = _cross(u, normal) / ((_dot(u, u) + TINY) * (area + TINY))[..., None]
    by_k = _cross(normal, v) / ((_dot(v, v) + TINY) * (area + TINY))[..., None]
    return value, np.stack([by_i, -by_i - by_k, by_k], axis=1)


def dihedral(x: Float[Array, "s 4 m 3"]) -> Measure:
    """Measure the signed dihedral angle of four atoms, -pi to pi.

    Four atoms exactly in a plane give 0, cis or trans: the sign of 0 is 0.
    """
    a, b, c = x[:, 1] - x[:, 0], x[:, 1] - x[:, 2], x[:, 3] - x[:, 2]
    m, n = _cross(a, b), _cross(b, c)
    value = np.arctan2(_length(_cross(m, n)), _dot(m, n) + TINY)
    value = -value * np.sign(_dot(a, n))
    square = _dot(b, b)
    inverse = 1.0 / np.sqrt(square + TINY)
    by_i = (square * inverse / (_dot(m, m) + TINY))[..., None] * m
    by_l = -(square * inverse / (_dot(n, n) + TINY))[..., None] * n
    p, q = _dot(a, b) * inverse**2, _dot(c, b) * inverse**2
    s = p[..., None] * by_i - q[..., None] * by_l
    return value, np.stack([by_i, -(by_i - s), -(by_l + s), by_l], axis=1)


def absolute_dihedral(x: Float[Array, "s 4 m 3"]) -> Measure:
    """Measure the dihedral angle without its sign, 0 to pi."""
    value, derivative = dihedral(x)
    sign = np.where(value < 0, -1.0, 1.0)
    return np.abs(value), derivative * sign[:, None, :, None]


def out_of_plane(x: Float[Array, "s 4 m 3"]) -> Measure:
    """Measure how far a centre (third atom) is from the plane of its neighbours, 0 when planar.

    The value is 1 - sin Y, where Y is the angle of the last neighbour to the normal of the plane
    of the first two: RDKit's inversion term without its factor.
    """
    arms = x[:, [0, 1, 3]] - x[:, 2:3]
    squares = _dot(arms, arms)
    lengths = np.maximum(np.sqrt(squares), TINY)
    units = arms / lengths[..., None]
    i, k, l = units[:, 0], units[:, 1], units[:, 2]  # noqa: E741 (RDKit's names)
    normal = _cross(-i, k)
    area = _dot(normal, normal)
    whole = (squares > _DEGENERATE).all(axis=1) & (area > _DEGENERATE)
    normal = normal / np.maximum(np.sqrt(area), TINY)[..., None]
    cos_y = np.clip(np.where(whole, _dot(normal, l), 0.0), -1.0, 1.0)
    sin_y = np.maximum(np.sqrt(np.maximum(1.0 - cos_y * cos_y, 0.0)), TINY)
    cos_t = np.clip(_dot(i, k), -1.0, 1.0)
    sin_t2 = np.maximum(1.0 - cos_t * cos_t, 1e-12)
    t1 = (sin_y * np.maximum(np.sqrt(sin_t2), TINY))[..., None]
    t2 = (cos_y / (sin_y * sin_t2))[..., None]
    cos_t = cos_t[..., None]
    by_i = (_cross(l, k) / t1 - (i - k * cos_t) * t2) / lengths[:, 0, :, None]
    by_k = (_cross(i, l) / t1 - (k - i * cos_t) * t2) / lengths[:, 1, :, None]
    by_l = (_cross(k, i) / t1 - l * (cos_y / sin_y)[..., None]) / lengths[:, 2, :, None]
    derivative = np.stack([by_i, by_k, -(by_i + by_k + by_l), by_l], axis=1)
    derivative = derivative * cos_y[:, None, :, None]
    return 1.0 - sin_y, np.where(whole[:, None, :, None], derivative, 0.0)


def _cross(a: Array, b: Array) -> Array:
    """Take the cross product along the last axis; `numpy.cross` is slow for small arrays."""
    a0, a1, a2 = a[..., 0], a[..., 1], a[..., 2]
    b0, b1, b2 = b[..., 0], b[..., 1], b[..., 2]
    product = np.empty_like(a)
    product[..., 0] = a1 * b2 - a2 * b1
    product[..., 1] = a2 * b0 - a0 * b2
    product[..., 2] = a0 * b1 - a1 * b0
    return product


def _dot(a: Array, b: Array) -> Array:
    product: Array = np.einsum("...i,...i->...", a, b)
    return product


def _length(a: Array) -> Array:
    length: Array = np.sqrt(_dot(a, a))
    return length
