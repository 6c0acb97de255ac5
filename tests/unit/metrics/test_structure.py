# SPDX-License-Identifier: Apache-2.0
"""RMSD, lDDT and TM-score: invariances, known values, an independent implementation."""

import numpy as np
import pytest

from protenix_ms.geometry.rotation import random_rotations
from protenix_ms.geometry.superposition import rigid_motion, superpose
from protenix_ms.metrics.structure import lddt, lddt_per_atom, rmsd, tm_score


@pytest.fixture
def chain() -> np.ndarray:
    steps = np.random.default_rng(3).standard_normal((60, 3))
    return np.cumsum(3.8 * steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0)


def moved(x: np.ndarray, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return x @ random_rotations(rng, 1)[0].T + rng.standard_normal(3) * 50


def test_rigid_motion_is_recovered(chain):
    rotation, translation = rigid_motion(chain, moved(chain))
    np.testing.assert_allclose(chain @ rotation.T + translation, moved(chain), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_a_mirror_image_is_not_superposed(chain):
    mirror = chain * [1, 1, -1]
    assert np.linalg.det(rigid_motion(mirror, chain)[0]) == pytest.approx(1)
    assert rmsd(mirror, chain) > 1


def test_weights_choose_what_is_laid_over(chain):
    other = moved(chain)
    other[30:] += np.random.default_rng(0).standard_normal((30, 3)) * 20
    weights = (np.arange(60) < 30).astype(float)
    np.testing.assert_allclose(superpose(chain, other, weights)[:30], other[:30], atol=1e-9)
    assert rmsd(chain, other, weights) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("score, value", [(rmsd, 0.0), (lddt, 1.0), (tm_score, 1.0)])
def test_the_same_structure_moved(chain, score, value):
    assert score(moved(chain), chain) == pytest.approx(value, abs=1e-6)


def test_lddt_counts_kept_distances():
    known = np.array([[0, 0, 0], [4.0, 0, 0], [40.0, 0, 0]])
    predicted = known + [[0, 0, 0], [1.5, 0, 0], [0, 0, 0]]  # error 1.5: kept at 2 and 4 only
    per_atom = lddt_per_atom(predicted, known)
    assert per_atom[:2].tolist() == [0.5, 0.5] and np.isnan(per_atom[2])
    assert lddt(predicted, known) == 0.5


def test_lddt_agrees_with_biotite(chain):
    structure = pytest.importorskip("biotite.structure")
    predicted = chain + np.random.default_rng(5).standard_normal(chain.shape)
    atoms = structure.AtomArray(len(chain))
    atoms.res_id[:] = np.arange(len(chain))
    other = atoms.copy()
    atoms.coord, other.coord = chain, predicted
    theirs = structure.lddt(atoms, other, aggregation="atom")
    np.testing.assert_allclose(lddt_per_atom(predicted, chain), theirs, atol=0.02)


def test_tm_score_finds_the_good_half(chain):
    other = moved(chain)
    other[30:] = other[30:] @ random_rotations(np.random.default_rng(9), 1)[0].T + 60
    assert tm_score(other, chain) >= 0.5


def test_tm_score_of_noise_is_low(chain):
    noise = np.random.default_rng(8).standard_normal(chain.shape) * 30
    assert tm_score(noise, chain) < 0.3
