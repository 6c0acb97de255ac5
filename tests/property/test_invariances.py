# SPDX-License-Identifier: Apache-2.0
"""What must not matter: where a structure lies, the order of samples, chains and alignment rows,
padding, and the size of chunks. Fifty random examples each."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mindspore import Tensor, nn
from ml_collections import ConfigDict

from protenix_ms.loss.binned import atom_lddt, distogram_loss, pae_loss, pde_loss, plddt_loss
from protenix_ms.loss.coordinates import atom_weights, bond_loss, mse_loss, noise_scale
from protenix_ms.loss.labels import AtomRoles, Labels
from protenix_ms.loss.smooth_lddt import Neighbours, smooth_lddt_loss
from protenix_ms.metrics.confidence import Layout, summarize
from protenix_ms.metrics.quality import KnownComplex, judge, lddt_by_chains
from protenix_ms.metrics.structure import rmsd, tm_score
from protenix_ms.model.msa_module import MSABlock
from protenix_ms.model.pairformer import PairformerBlock
from protenix_ms.model.weights import load_weights, rule_array
from protenix_ms.ops.evoformer_attention import evoformer_attention
from protenix_ms.runtime.policy import policy, using

SEEDS = st.integers(0, 2**32 - 1)
fifty = settings(max_examples=50, deadline=None, derandomize=True,
                 suppress_health_check=[HealthCheck.too_slow])
N, SAMPLES, SIGMA_DATA = 9, 3, 16.0


def close(ours, expected, bound=1e-4):
    ours, expected = np.asarray(ours, float), np.asarray(expected, float)
    np.testing.assert_allclose(ours, expected, rtol=0,
                               atol=bound * max(1.0, np.abs(np.nan_to_num(expected)).max()))


def motion(rng: np.random.Generator):
    """Draw a random rigid motion of up to 50 angstrom."""
    q = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    q *= np.sign(np.linalg.det(q))
    shift = rng.uniform(-50, 50, 3)
    return lambda x: (x @ q + shift).astype(np.float32)


def structure(rng: np.random.Generator):
    """Make the known and predicted coordinates, labels and roles of a small complex of two
    chains."""
    n = 4 * N
    known = np.cumsum(rng.standard_normal((n, 3)) + 0.8, 0)
    predicted = known[None] + rng.standard_normal((SAMPLES, n, 3))
    labels = Labels(known.astype(np.float32), rng.random(n) < 0.9)
    kind = rng.integers(0, 4, n)
    frames = np.arange(0, n, 4)[:, None] + np.arange(3)
    bonds = np.array([[0, n - 1], [n - 1, 0]])
    roles = AtomRoles(kind == 0, kind == 1, kind == 2, np.arange(1, n, 4), np.arange(1, n, 4),
                      np.arange(n) % 4 == 1, frames, rng.random(N) < 0.8, bonds)
    return labels, roles, predicted.astype(np.float32)


WEIGHTS = ConfigDict({"weight_dna": 5.0, "weight_rna": 5.0, "weight_ligand": 10.0})
LEVELS = np.array([0.5, 4.0, 30.0], np.float32)


def losses(labels, roles, x, levels=LEVELS, seed=0):
    """Compute every loss that reads coordinates, for fixed logits."""
    rng = np.random.default_rng(seed)
    scale = noise_scale(levels, SIGMA_DATA)
    tensor = Tensor(x)
    logits = {k: rng.standard_normal((1, N, N, k)).astype(np.float32) for k in (64,)}
    pair = np.broadcast_to(logits[64], (len(x), N, N, 64)).copy()
    atom = np.broadcast_to(rng.standard_normal((1, x.shape[1], 50)).astype(np.float32),
                           (len(x), x.shape[1], 50)).copy()
    return {
        "mse": mse_loss(tensor, labels, atom_weights(roles, labels, WEIGHTS), scale),
        "bond": bond_loss(tensor, labels, roles, scale),
        "smooth lddt": smooth_lddt_loss(tensor, Neighbours.from_labels(labels, roles)),
        "distogram": distogram_loss(Tensor(logits[64][0]), labels, roles),
        "pde": pde_loss(Tensor(pair), x, labels, roles),
        "pae": pae_loss(Tensor(pair), x, labels, roles),
        "plddt": plddt_loss(Tensor(atom), x, labels, roles),
    }


@fifty
@given(SEEDS)
def test_losses_do_not_see_a_rigid_motion(seed):
    rng = np.random.default_rng(seed)
    labels, roles, x = structure(rng)
    expected = losses(labels, roles, x)
    moved = np.stack([motion(rng)(sample) for sample in x])
    carried = Labels(motion(rng)(labels.x), labels.resolved)
    for name, value in losses(carried, roles, moved).items():
        # coordinates of 100 angstrom in fp32 move distances by 1e-5, a bin's edge may be crossed
        bound = 1e-3 if name in ("mse", "bond", "smooth lddt") else 5e-2
        close(value.asnumpy(), expected[name].asnumpy(), bound)
    close(atom_lddt(moved[0], carried, roles), atom_lddt(x[0], labels, roles), 0.05)


@fifty
@given(SEEDS)
def test_metrics_do_not_see_a_rigid_motion(seed):
    rng = np.random.default_rng(seed)
    labels, _, x = structure(rng)
    a, b = x[0].astype(np.float64), labels.x.astype(np.float64)
    moved, carried = motion(rng)(a).astype(np.float64), motion(rng)(b).astype(np.float64)
    every, one_chain = np.ones(len(a), bool), np.zeros(len(a), int)
    truth, elsewhere = (KnownComplex(known, every, one_chain, every, ~every, every)
                        for known in (b, carried))
    close(lddt_by_chains(moved, elsewhere)[0], lddt_by_chains(a, truth)[0], 2e-3)
    close(rmsd(moved, carried), rmsd(a, b))
    close(tm_score(moved, carried), tm_score(a, b), 2e-3)


@fifty
@given(SEEDS)
def test_a_mirror_image_is_seen(seed):
    """The tests above can fail: a reflection keeps every distance but no structure."""
    rng = np.random.default_rng(seed)
    labels, roles, x = structure(rng)
    mirrored = x * np.array([1, 1, -1], np.float32)
    scale = noise_scale(LEVELS, SIGMA_DATA)
    weight = atom_weights(roles, labels, WEIGHTS)
    plain, seen = (float(mse_loss(Tensor(v), labels, weight, scale).asnumpy())
                   for v in (x, mirrored))
    assert seen > 1.05 * plain
    assert rmsd(mirrored[0], labels.x) > rmsd(x[0], labels.x)


@fifty
@given(SEEDS)
def test_the_order_of_samples_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    labels, roles, x = structure(rng)
    order = rng.permutation(SAMPLES)
    expected = losses(labels, roles, x)
    for name, value in losses(labels, roles, x[order], LEVELS[order]).items():
        close(value.asnumpy(), expected[name].asnumpy(), 1e-5)


class Sample:
    """Holds the confidence of one sample in random numbers, and its tokens' chains."""

    def __init__(self, rng, sizes):
        n = sum(sizes)
        self.chain = np.repeat(np.arange(len(sizes)), sizes)
        self.atom_plddt = rng.random(2 * n)
        self.pae, self.pde = rng.uniform(0, 32, (2, n, n))
        self.tm_complex, self.tm_pair = rng.random((2, n, n))
        self.contact = rng.random((n, n))
        self.x = 9 * rng.standard_normal((2 * n, 3))
        self.frame = rng.random(n) < 0.9
        self.ligand = np.zeros(len(sizes), bool)

    def permuted(self, order):
        """Put the sample's tokens (two atoms each) in another order."""
        other, atoms = object.__new__(Sample), np.stack([2 * order, 2 * order + 1], 1).ravel()
        other.chain, other.frame = self.chain[order], self.frame[order]
        other.atom_plddt, other.x, other.ligand = self.atom_plddt[atoms], self.x[atoms], self.ligand
        for name in ("pae", "pde", "tm_complex", "tm_pair", "contact"):
            setattr(other, name, getattr(self, name)[np.ix_(order, order)])
        return other

    def summary(self):
        atom_chain = np.repeat(self.chain, 2)
        layout = Layout(self.chain, self.frame, atom_chain, np.ones(len(atom_chain), bool),
                        self.ligand)
        return summarize(self, self.x, self.contact, layout, 1)


@fifty
@given(SEEDS)
def test_the_order_of_tokens_and_chains_does_not_matter_to_scores(seed):
    rng = np.random.default_rng(seed)
    sample = Sample(rng, rng.integers(1, 6, 3).tolist())
    sample.contact = sample.contact + sample.contact.T  # upstream reads one triangle of blocks
    sample.pde = sample.pde + sample.pde.T
    expected, ours = sample.summary(), sample.permuted(rng.permutation(len(sample.chain))).summary()
    for key, value in expected.items():
        close(ours[key], value, 1e-6)


@fifty
@given(SEEDS)
def test_the_order_of_chains_does_not_matter_to_quality(seed):
    rng = np.random.default_rng(seed)
    labels, _, x = structure(rng)
    n = len(labels.x)
    chain = np.repeat([0, 1, 2], [8, 12, n - 20])
    polymer, centre = np.ones(n, bool), np.arange(n) % 4 == 1
    known = KnownComplex(labels.x, labels.resolved, chain, polymer, chain == 1, centre)
    order = np.concatenate([np.flatnonzero(chain == c) for c in (2, 0, 1)])
    renamed = np.array([1, 2, 0])[chain[order]]
    other = KnownComplex(labels.x[order], labels.resolved[order], renamed, polymer,
                         (chain == 1)[order], centre[order])
    a, b = judge(x[0], known), judge(x[0][order], other)
    close([b.lddt, b.rmsd], [a.lddt, a.rmsd])
    names = np.array([1, 2, 0])
    close(b.chain_lddt[np.ix_(names, names)], a.chain_lddt)


@cache
def block(kind: str) -> nn.Cell:
    cell = PairformerBlock(16, 24, 2) if kind == "pairformer" else MSABlock(8, 16, False, False)
    names = [(n, tuple(p.shape)) for n, p in cell.parameters_and_names()]
    load_weights(cell, ((n, rule_array(n, shape)) for n, shape in names))
    return cell.set_train(False)


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


@fifty
@given(SEEDS, st.integers(2, 12))
def test_the_trunk_carries_a_permutation_of_tokens(seed, n):
    """Chains in another order give the same numbers in another order."""
    rng = np.random.default_rng(seed)
    s, z, order = normal(rng, n, 24), normal(rng, n, n, 16), rng.permutation(n)
    expected = [y.asnumpy() for y in block("pairformer")(Tensor(s), Tensor(z))]
    ours = block("pairformer")(Tensor(s[order]), Tensor(z[np.ix_(order, order)]))
    close(ours[0].asnumpy(), expected[0][order], 1e-5)
    close(ours[1].asnumpy(), expected[1][np.ix_(order, order)], 1e-5)


@fifty
@given(SEEDS, st.integers(1, 9))
def test_the_order_of_alignment_rows_does_not_matter(seed, rows):
    rng = np.random.default_rng(seed)
    m, z, order = normal(rng, rows, N, 8), normal(rng, N, N, 16), rng.permutation(rows)
    m_out, z_out = (y.asnumpy() for y in block("msa")(Tensor(m), Tensor(z)))
    m_ours, z_ours = (y.asnumpy() for y in block("msa")(Tensor(m[order]), Tensor(z)))
    close(z_ours, z_out, 1e-5)
    close(m_ours, m_out[order], 1e-5)


@fifty
@given(SEEDS, st.integers(1, 12), st.integers(1, 9))
def test_padded_keys_do_not_matter(seed, n, padding):
    """Keys of whatever content, masked away, change nothing."""
    rng = np.random.default_rng(seed)
    q, k, v = (normal(rng, 1, 2, n, 2, 8) for _ in range(3))
    bias = normal(rng, 1, 1, 2, n, n)
    expected = evoformer_attention(*map(Tensor, (q, k, v, bias))).asnumpy()
    more = [np.concatenate([x, 9 * normal(rng, 1, 2, padding, 2, 8)], 2) for x in (k, v)]
    wider = np.concatenate([bias, 9 * normal(rng, 1, 1, 2, n, padding)], -1)
    mask = np.broadcast_to(np.arange(n + padding) < n, (1, 2, 1, 1, n + padding)).copy()
    ours = evoformer_attention(*map(Tensor, (q, *more, wider)), Tensor(mask)).asnumpy()
    close(ours, expected, 1e-5)


@fifty
@given(SEEDS, st.integers(1, 12))
def test_atoms_that_are_not_resolved_do_not_matter(seed, padding):
    """n atoms, and n atoms beside unknown ones."""
    rng = np.random.default_rng(seed)
    labels, roles, x = structure(rng)
    bonds = np.zeros((0, 2), int)
    expected = losses(labels, replace(roles, bonds=bonds), x)
    longer = Labels(np.concatenate([labels.x, np.zeros((padding, 3), np.float32)]),
                    np.concatenate([labels.resolved, np.zeros(padding, bool)]))
    off = np.zeros(padding, bool)
    flags = {name: np.concatenate([getattr(roles, name), off])
             for name in ("is_dna", "is_rna", "is_ligand", "plddt")}
    beside = np.concatenate([x, 20 * normal(rng, SAMPLES, padding, 3)], 1)
    ours = losses(longer, replace(roles, bonds=bonds, **flags), beside)
    for name in ("mse", "smooth lddt", "distogram", "pde", "pae"):
        close(ours[name].asnumpy(), expected[name].asnumpy(), 1e-5)


@pytest.mark.parametrize("kernels", [True, False], ids=["kernels", "operators"])
@pytest.mark.parametrize("kind", ["pairformer", "msa"])
@settings(fifty, max_examples=25)  # with and without kernels: fifty
@given(SEEDS, st.integers(2, 6), st.integers(1, 6))
def test_chunks_do_not_matter(kind, kernels, seed, n, chunk):
    rng = np.random.default_rng(seed)
    first = normal(rng, n, 24) if kind == "pairformer" else normal(rng, 3, n, 8)
    z = normal(rng, n, n, 16)
    with using(replace(policy(), kernels=kernels)):
        expected = [y.asnumpy() for y in block(kind)(Tensor(first), Tensor(z))]
    with using(replace(policy(), kernels=kernels, chunk=chunk)):
        ours = [y.asnumpy() for y in block(kind)(Tensor(first), Tensor(z))]
    for a, b in zip(ours, expected):
        close(a, b, 1e-5)
