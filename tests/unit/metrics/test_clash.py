# SPDX-License-Identifier: Apache-2.0
"""Clash rules: polymers only, over half of the smaller chain or over a hundred pairs."""

import numpy as np
import pytest

from protenix_ms.metrics.clash import count_close, has_clash


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


def test_distance_is_strict_and_chunks_do_not_matter():
    x = np.zeros((3000, 3), np.float32)
    assert count_close(x, np.array([[1.1, 0, 0]]), 1.1) == 0
    assert count_close(x, np.array([[1.0999, 0, 0]]), 1.1) == 3000
