# SPDX-License-Identifier: Apache-2.0
"""A sample beside a known complex: parts add up, unresolved atoms do not count."""

import math

import numpy as np
import pytest

from protenix_ms.metrics.quality import KnownComplex, judge, lddt_by_chains


def known(seed=0, atoms=60, nucleotide=False):
    rng = np.random.default_rng(seed)
    chain = np.repeat([0, 1, 2], atoms // 3)
    x = 6 * rng.standard_normal((atoms, 3))
    return KnownComplex(x.astype("f4"), rng.random(atoms) < 0.8, chain, chain < 2,
                        (chain == 1) & nucleotide, np.arange(atoms) % 3 == 0)


def test_moved_as_a_whole_is_perfect():
    truth = known()
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    quality = judge((truth.x @ turn.T + 7).astype("f4"), truth)
    assert quality.lddt == 1 and np.all(quality.chain_lddt == 1)
    assert quality.rmsd < 1e-5 and quality.tm_score == pytest.approx(1) and not quality.clash


def test_only_the_moved_chain_and_its_pairs_lose():
    truth = known()
    x = truth.x.copy()
    x[truth.chain == 2] += [0, 0, 40]
    quality = judge(x, truth)
    pairs = quality.chain_lddt
    assert np.all(np.diag(pairs) == 1) and pairs[0, 1] == pairs[1, 0] == 1
    assert pairs[0, 2] < 0.2 and pairs[1, 2] < 0.2 and quality.lddt < 1
    assert quality.tm_score == pytest.approx(1)  # the third chain is no polymer


@pytest.mark.parametrize("nucleotide", [False, True])
def test_pairs_one_by_one(nucleotide):
    truth = known(3, nucleotide=nucleotide)
    x = truth.x + np.random.default_rng(4).standard_normal(truth.x.shape)
    kept = []
    for i in np.flatnonzero(truth.resolved):
        radius = 30 if truth.nucleotide[i] else 15
        for j in np.flatnonzero(truth.resolved):
            d = np.linalg.norm(truth.x[i].astype(float) - truth.x[j])
            if i != j and d < radius:
                e = abs(d - np.linalg.norm(x[i] - x[j]))
                kept.append(np.mean([e < t for t in (0.5, 1, 2, 4)]))
    assert lddt_by_chains(x, truth)[0] == pytest.approx(np.mean(kept), rel=1e-12)


def test_nothing_known_is_not_a_number():
    truth = known()
    nothing = KnownComplex(truth.x, np.zeros(60, bool), truth.chain, truth.polymer,
                           truth.nucleotide, truth.centre)
    quality = judge(truth.x, nothing)
    assert all(math.isnan(v) for v in (quality.lddt, quality.rmsd, quality.tm_score))
