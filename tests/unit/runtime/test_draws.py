# SPDX-License-Identifier: Apache-2.0
"""Seeded draws: each place and each sample has a stream of its own."""

import numpy as np

from protenix_ms.runtime.draws import SeededDraws


def test_streams_do_not_depend_on_other_draws():
    a, b = SeededDraws(1, 2), SeededDraws(1, 2)
    b.normal("elsewhere", (3,))
    b.uniform("other")
    first = a.normal("here", (4,))
    np.testing.assert_array_equal(first, b.normal("here", (4,)))
    assert (first != a.normal("here", (4,))).any()
    assert (first != SeededDraws(1, 3).normal("here", (4,))).any()


def test_samples_have_streams_of_their_own():
    five, two = SeededDraws(7), SeededDraws(7)
    for _ in range(2):
        np.testing.assert_array_equal(
            five.normal("x", (5, 4, 3), 0)[3:], two.normal("x", (2, 4, 3), 3)
        )
        np.testing.assert_array_equal(five.rotations("r", 5, 0)[3:], two.rotations("r", 2, 3))
    x = five.normal("x", (5, 100), 0)
    assert np.abs(np.corrcoef(x) - np.eye(5)).max() < 0.5


def test_rotations_are_rotations():
    r = SeededDraws(0).rotations("r", 200)
    assert r.dtype == np.float32
    np.testing.assert_allclose(r @ r.transpose(0, 2, 1), np.tile(np.eye(3), (200, 1, 1)), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(r), 1, atol=1e-5)
    assert np.abs(r.mean(0)).max() < 0.2


def test_keep_is_dropout():
    keep = SeededDraws(0).keep("d", 0.25, (10000,))
    assert set(np.unique(keep)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(keep.mean() - 1) < 0.05
