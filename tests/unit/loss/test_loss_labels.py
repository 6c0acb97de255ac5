# SPDX-License-Identifier: Apache-2.0
"""Losses at their ends: perfect predictions, nothing known, confidence that is not judged."""

import mindspore as ms
import numpy as np
import pytest

from protenix_ms.config.training import STAGES, stage_config, training_config
from protenix_ms.errors import ConfigError
from protenix_ms.geometry.bins import PAE, PLDDT, find_bins
from protenix_ms.geometry.rigid import random_rotations
from protenix_ms.loss import binned
from protenix_ms.loss.coordinates import aligned_labels, atom_weights, bond_loss, mse_loss
from protenix_ms.loss.labels import AtomRoles, Labels
from protenix_ms.loss.smooth_lddt import Neighbours, smooth_lddt_loss
from protenix_ms.loss.total import Confidence, Denoised, TrainingLoss, term_weights

N = 12


def example(resolved=None):
    rng = np.random.default_rng(0)
    ones = np.ones(N, int)
    features = {
        "is_dna": 0 * ones, "is_rna": 0 * ones, "is_ligand": 0 * ones,
        "distogram_rep_atom_mask": ones, "pae_rep_atom_mask": ones, "plddt_m_rep_atom_mask": ones,
        "frame_atom_index": (np.arange(N)[:, None] + np.arange(3)) % N, "has_frame": ones,
        "bond_mask": np.zeros((N, N), int), "resolution": np.array([2.0], "f4"),
    }
    known = np.ones(N, bool) if resolved is None else resolved
    x = (5 * rng.standard_normal((N, 3))).astype("f4") * known[:, None]
    return features, Labels(x, known)


def test_a_moved_copy_is_perfect():
    features, labels = example()
    roles = AtomRoles.from_features(features)
    turn = random_rotations(np.random.default_rng(1), 2)
    moved = (np.einsum("bij,aj->bai", turn, labels.x) + 7).astype("f4")
    weight = atom_weights(roles, labels, training_config().loss.diffusion.mse)
    assert np.abs(aligned_labels(moved, labels, weight) - moved).max() < 1e-4
    assert float(mse_loss(ms.Tensor(moved), labels, weight, np.ones(2, "f4"))) < 1e-8
    best = 1 - np.mean([1 / (1 + np.exp(-t)) for t in (0.5, 1, 2, 4)])
    value = smooth_lddt_loss(ms.Tensor(moved), Neighbours.from_labels(labels, roles))
    assert float(value) == pytest.approx(best, rel=1e-4)
    assert np.allclose(binned.atom_lddt(moved[0], labels, roles), 1, atol=1e-5)


def test_a_mirror_image_is_not():
    features, labels = example()
    weight = np.ones(N, "f4")
    mirrored = labels.x[None] * np.array([1, 1, -1], "f4")
    assert float(mse_loss(ms.Tensor(mirrored), labels, weight, np.ones(1, "f4"))) > 0.5


def test_nothing_known_gives_finite_losses():
    features, labels = example(np.zeros(N, bool))
    roles = AtomRoles.from_features(features)
    x = ms.Tensor(np.random.default_rng(0).standard_normal((2, N, 3)).astype("f4"))
    weight = atom_weights(roles, labels, training_config().loss.diffusion.mse)
    assert float(mse_loss(x, labels, weight, np.ones(2, "f4"))) == 0
    assert float(bond_loss(x, labels, roles, np.ones(2, "f4"))) == 0
    value, gradient = ms.value_and_grad(
        lambda v: smooth_lddt_loss(v, Neighbours.from_labels(labels, roles)))(x)
    assert float(value) == 1 and not gradient.asnumpy().any()


def test_bins_at_their_edges():
    assert find_bins(np.array([0, 0.02, 0.0201, 1, 1.5], "f4"), PLDDT.edges()).tolist() == [
        0, 0, 1, 49, 49]
    assert find_bins(np.array([0, 0.5, 0.51, 40], "f4"), PAE.edges()).tolist() == [0, 0, 1, 63]


def terms(resolution: float, denoised: bool):
    features, labels = example()
    features["resolution"] = np.array([resolution], "f4")
    zeros = {k: ms.ops.zeros((1, N, 50) if k == "plddt" else (1, N, N, 64))
             for k in ("plddt", "pae", "pde")}
    confidence = Confidence(labels.x[None], **zeros, resolved=ms.ops.zeros((1, N, 2)))
    prediction = Denoised(ms.Tensor(labels.x[None]), np.ones(1, "f4"), ms.ops.zeros((N, N, 64)))
    loss = TrainingLoss(training_config(), features, labels)
    return loss(confidence, prediction if denoised else None)


def test_which_terms_there_are():
    diffusion = {"smooth_lddt", "bond", "mse", "distogram"}
    assert set(terms(-1.0, True)[1]) == diffusion
    assert set(terms(9.0, True)[1]) == diffusion
    total, by_term = terms(2.0, False)
    assert set(by_term) == {"plddt", "pde", "resolved", "pae"}
    assert float(by_term["pae"]) == pytest.approx(np.log(64), rel=1e-5)
    assert float(total) == pytest.approx(
        1e-4 * (np.log(50) + np.log(64) + np.log(2)), rel=1e-5)


def test_stages():
    by_stage = {stage: term_weights(stage_config(stage).loss.weight) for stage in STAGES}
    assert by_stage["stage1"]["bond"] == 0 and by_stage["stage1"]["smooth_lddt"] == 4
    assert by_stage["stage2"]["bond"] == 4 and by_stage["stage2"]["smooth_lddt"] == 0
    assert by_stage["stage4"]["mse"] == 0 and by_stage["stage4"]["pae"] == 1e-4
    with pytest.raises(ConfigError, match="stage5"):
        stage_config("stage5")
