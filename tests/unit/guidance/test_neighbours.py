# SPDX-License-Identifier: Apache-2.0
"""Clashes between chains are those of all pairs, in little memory."""

import tracemalloc

import numpy as np
import pytest

from protenix_ms.guidance.lists import INDICES, GeometryLists, Groups
from protenix_ms.guidance.potentials import vina_steric


def make_lists(chain: np.ndarray, bonded: tuple = ()) -> GeometryLists:
    groups = {name: Groups(np.zeros((k, 0), np.int64), len(chain)) for name, k in INDICES.items()}
    groups["interchain_bond"] = Groups(np.array(bonded, np.int64).reshape(-1, 2).T, len(chain))
    radius = np.random.default_rng(1).uniform(1.2, 2.0, len(chain)).astype(np.float32)
    return GeometryLists(groups, {}, chain, radius)


def pairs(lists: GeometryLists, x: np.ndarray) -> list[tuple]:
    return [row for part in lists.neighbours.near(x, 0.225) for row in zip(*map(list, part))]


def test_near_pairs_are_those_of_all_pairs():
    chain = np.repeat([0, 1, 2, 3], [300, 200, 100, 1])
    lists, rng = make_lists(chain, ((0, 301),)), np.random.default_rng(2)
    x = rng.uniform(0, 18, (2, 601, 3))
    for _ in range(4):  # small moves are served from what is remembered
        x = x + rng.normal(0, 0.15, x.shape)
        x[:, 600] = x[:, 0]  # an ion, which never clashes; nor do chains 0 and 1
        distance = np.linalg.norm(x[:, :, None] - x[:, None], axis=-1)
        near = distance < (lists.radius[:, None] + lists.radius) * 0.775
        wanted = near & (chain[:, None] < 2) & (chain == 2)
        assert pairs(lists, x) == list(zip(*map(list, np.nonzero(wanted))))
        assert wanted.any()


@pytest.mark.parametrize("side", [27.0, 0.5])  # angstrom: packed as in a protein; collapsed
def test_two_chains_of_2000_atoms_take_under_half_a_gigabyte(side):
    lists = make_lists(np.repeat([0, 1], 2000))
    x = np.random.default_rng(3).uniform(0, side, (1, 4000, 3))
    tracemalloc.start()
    energy = vina_steric(x, lists, {"buffer": 0.225}).energy
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert energy > 0
    assert peak < (0.2e9 if side < 1 else 0.05e9)
