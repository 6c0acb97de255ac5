# SPDX-License-Identifier: Apache-2.0
"""RMSD, TM-score and clashes: invariances and known values."""

import numpy as np
import pytest

from protenix_ms.geometry.rigid import random_rotations
from protenix_ms.metrics.structure import count_close, has_clash, rmsd, tm_score


@pytest.fixture
def chain() -> np.ndarray:
    steps = np.random.default_rng(3).standard_normal((60, 3))
    return np.cumsum(3.8 * steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0)


def moved(x: np.ndarray, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return x @ random_rotations(rng, 1)[0].T + rng.standard_normal(3) * 50


@pytest.mark.parametrize("score, value", [(rmsd, 0.0), (tm_score, 1.0)])
def test_the_same_structure_moved(chain, score, value):
    assert score(moved(chain), chain) == pytest.approx(value, abs=1e-6)


def test_tm_score_finds_the_good_half(chain):
    other = moved(chain)
    other[30:] = other[30:] @ random_rotations(np.random.default_rng(9), 1)[0].T + 60
    assert tm_score(other, chain) >= 0.5


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_tm_score_of_the_shortest_chains(chain, n):
    assert tm_score(moved(chain[:n]), chain[:n]) == pytest.approx(1.0, abs=1e-6)


def test_tm_score_of_noise_is_low(chain):
    noise = np.random.default_rng(8).standard_normal(chain.shape) * 30
    assert tm_score(noise, chain) < 0.3


def chains(*sizes) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


def line(n: int, shift: float = 0.0) -> np.ndarray:
    return np.stack([np.arange(n) * 3.8 + shift, np.zeros(n), np.zeros(n)], 1).astype(np.float32)


@pytest.mark.parametrize("overlap, expected", [(5, False), (6, True)])
def test_more_than_half_of_the_smaller_chain(overlap, expected):
    moved = line(10)
    moved[overlap:] += 500
    coordinates = np.concatenate([line(30), moved])
    assert has_clash(coordinates, chains(30, 10), np.ones(40, bool)) is expected


def test_ligands_never_clash():
    coordinates = np.concatenate([line(10), line(10)])
    assert not has_clash(coordinates, chains(10, 10), np.arange(20) < 10)


def test_over_a_hundred_pairs_in_large_chains():
    big = line(400)
    moved = big.copy()
    moved[101:] += 9000
    assert has_clash(np.concatenate([big, moved]), chains(400, 400), np.ones(800, bool))
    moved[100:] += 9000
    assert not has_clash(np.concatenate([big, moved]), chains(400, 400), np.ones(800, bool))


def test_distance_of_a_clash_is_strict():
    x = np.zeros((3000, 3), np.float32)
    assert count_close(x, np.array([[1.1, 0, 0]]), 1.1) == 0
    assert count_close(x, np.array([[1.0999, 0, 0]]), 1.1) == 3000
