# SPDX-License-Identifier: Apache-2.0
"""Distances and lDDT against plain formulas and an independent implementation."""

import numpy as np
import pytest

from protenix_ms.geometry.distances import LDDT_RADIUS, compare_distances, point_distances


def lddt_per_atom(predicted: np.ndarray, known: np.ndarray) -> np.ndarray:
    share, near = compare_distances((predicted, predicted), (known, known),
                                    np.full((1, 1), LDDT_RADIUS))
    near &= ~np.eye(len(near), dtype=bool)
    with np.errstate(invalid="ignore"):
        return (share * near).sum(1) / near.sum(1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances_are_those_of_the_differences(dtype):
    rng = np.random.default_rng(0)
    x, y = (9 * rng.standard_normal((n, 3)).astype(dtype) for n in (40, 30))
    expected = np.linalg.norm(x[:, None] - y, axis=-1)
    assert point_distances(x, y).dtype == dtype
    np.testing.assert_array_equal(point_distances(x, y), expected)
    assert point_distances(x[:0], y).shape == (0, 30)


def test_lddt_counts_kept_distances():
    known = np.array([[0, 0, 0], [4.0, 0, 0], [40.0, 0, 0]])
    predicted = known + [[0, 0, 0], [1.5, 0, 0], [0, 0, 0]]  # error 1.5: kept at 2 and 4 only
    per_atom = lddt_per_atom(predicted, known)
    assert per_atom[:2].tolist() == [0.5, 0.5] and np.isnan(per_atom[2])


def test_lddt_agrees_with_biotite():
    structure = pytest.importorskip("biotite.structure")
    steps = np.random.default_rng(3).standard_normal((60, 3))
    chain = np.cumsum(3.8 * steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0)
    predicted = chain + np.random.default_rng(5).standard_normal(chain.shape)
    atoms = structure.AtomArray(len(chain))
    atoms.res_id[:] = np.arange(len(chain))
    other = atoms.copy()
    atoms.coord, other.coord = chain, predicted
    theirs = structure.lddt(atoms, other, aggregation="atom")
    np.testing.assert_allclose(lddt_per_atom(predicted, chain), theirs, atol=0.02)
