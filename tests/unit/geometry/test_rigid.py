# SPDX-License-Identifier: Apache-2.0
"""Superposition and frames: what is known comes back, mirror images do not."""

import numpy as np
import pytest

from protenix_ms.geometry.rigid import (
    express_in_frames,
    random_rotations,
    rigid_motion,
    superpose,
)
from protenix_ms.metrics.structure import rmsd


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


def test_coordinates_in_frames_do_not_see_a_motion(chain):
    frames = chain[np.arange(57)[:, None] + np.arange(3)]
    local = express_in_frames(chain, frames)
    other = express_in_frames(moved(chain), moved(frames.reshape(-1, 3)).reshape(frames.shape))
    np.testing.assert_allclose(other, local, atol=1e-9)
    np.testing.assert_allclose(local[5, 6], 0, atol=1e-12)  # the middle atom is the origin
    apart = np.linalg.norm(chain - chain[6], axis=1)
    np.testing.assert_allclose(np.linalg.norm(local[5], axis=1), apart)
