# SPDX-License-Identifier: Apache-2.0
"""Confidence head beside upstream's, with exact distances on both sides: `torch.cdist` errs."""

import mindspore as ms
import numpy as np
import pytest
import torch
from ml_collections import ConfigDict

from protenix_ms.geometry.distances import point_distances
from protenix_ms.model.confidence import ConfidenceHead
from protenix_ms.model.confidence_features import ConfidenceFeatures

CONFIG = ConfigDict({
    "c_z": 12, "c_s": 32, "c_s_inputs": 20, "n_blocks": 1, "max_atoms_per_token": 24,
    "pairformer_dropout": 0.0, "hidden_scale_up": False, "distance_bin_start": 3.25,
    "distance_bin_end": 52.0, "distance_bin_step": 1.25,
})
N = 30  # above the 25 points from which torch.cdist is inexact


def normal(*shape: int) -> np.ndarray:
    return np.random.RandomState(sum(shape)).standard_normal(shape).astype(np.float32)


def job() -> dict[str, np.ndarray]:
    """Make tokens of 1, 2, 3 or 24 atoms, so that places 3-23 are rare; the last atom
    represents."""
    sizes = np.resize([1, 2, 3, 1], N)
    sizes[7] = 24
    token = np.repeat(np.arange(N), sizes)
    last = np.cumsum(sizes) - 1
    mask = np.zeros(len(token), np.int64)
    mask[last] = 1
    return {
        "atom_to_token_idx": token,
        "atom_to_tokatom_idx": np.concatenate([np.arange(k) for k in sizes]),
        "distogram_rep_atom_mask": mask,
        "asym_id": np.arange(N) // 11,
    }


def coordinates(features) -> np.ndarray:
    """Make two samples with distances exactly on bin edges, below the first, beyond the last."""
    x = 8 * normal(2, len(features["atom_to_token_idx"]), 3)
    rep = np.flatnonzero(features["distogram_rep_atom_mask"])
    x[:, rep[:5]] = np.array([[0, 0, 0], [3.25, 0, 0], [4.5, 0, 0], [0, 17, 0], [900, 0, 0]])
    return x


def exact_cdist(a, b):
    return (a[..., :, None, :] - b[..., None, :, :]).square().sum(-1).sqrt()


TRUNK = (normal(N, 20), 300 * normal(N, 32), normal(N, N, 12))  # beyond the clip at 512


def test_head(compare, upstream, monkeypatch):
    monkeypatch.setattr(torch, "cdist", exact_cdist)
    features = job()
    x = coordinates(features)
    ours_job = ConfidenceFeatures.from_features(features)
    assert np.abs(TRUNK[1]).max() > 512

    def ours(m, inputs):
        s, z = m.embed(*map(ms.Tensor, TRUNK))
        samples = [m.logits(ours_job, *m.refine(s, z, xi[ours_job.representative])) for xi in x]
        plddt, pae, pde, resolved = (ms.ops.stack(v) for v in zip(*samples))
        return plddt + 0 * inputs["none"], pae, pde, resolved

    def theirs(m, inputs):
        m.lower_bins.requires_grad_(False)
        m.upper_bins.requires_grad_(False)
        dtype = inputs["none"].dtype
        y = {k: torch.tensor(v) for k, v in features.items()}
        trunk = [torch.tensor(t).to(dtype) for t in TRUNK]
        plddt, *rest = m(y, *trunk, None, torch.tensor(x).to(dtype))
        return plddt + 0 * inputs["none"], *rest

    reference = upstream("modules.confidence").ConfidenceHead(**CONFIG.to_dict())
    compare(
        ConfidenceHead(CONFIG), reference, {"none": np.zeros(1, np.float32)},
        call_ours=ours, call_upstream=theirs, bound=1e-4,
        zero_gradients=("none", "attention_pair_bias.layernorm_z.bias"),
        fixed={k: getattr(reference, k).detach().numpy().copy()
               for k in ("lower_bins", "upper_bins")},
    ).run()


def test_bins_start_as_upstream(upstream):
    """Ours before any checkpoint is loaded, and where each distance falls."""
    ours = ConfidenceHead(CONFIG)
    theirs = upstream("modules.confidence").ConfidenceHead(**CONFIG.to_dict())
    for name in ("lower_bins", "upper_bins"):
        np.testing.assert_array_equal(
            getattr(ours, name).asnumpy(), getattr(theirs, name).detach().numpy()
        )
    d = np.array([[0, 3.25, 3.2500002, 4.4999995, 4.5, 4.5000005, 50.75, 51, 999999, 2e6]], "f4")
    from protenix.model.utils import one_hot

    hot = one_hot(torch.tensor(d), theirs.lower_bins, theirs.upper_bins).detach().numpy()[0]
    expected = np.where(hot.any(-1), hot.argmax(-1), 39)
    np.testing.assert_array_equal(ours._bins(d)[0], expected)
    np.testing.assert_array_equal(expected, [39, 39, 0, 0, 39, 1, 39, 38, 38, 39])


def test_nothing_flows_back_into_the_trunk():
    features = job()
    head = ConfidenceHead(CONFIG)
    for p in head.get_parameters():
        if p.requires_grad:
            p.set_data(ms.Tensor(0.1 * normal(*p.shape)))
    ours_job = ConfidenceFeatures.from_features(features)
    x = coordinates(features)[0][ours_job.representative]

    def total(*trunk):
        return sum(v.sum() for v in head.logits(ours_job, *head.refine(*head.embed(*trunk), x)))

    for gradient in ms.grad(total, (0, 1, 2))(*map(ms.Tensor, TRUNK)):
        assert not gradient.asnumpy().any()


def test_distances_are_exact():
    """A pair 0.01 angstrom apart far from the origin, where |a|^2 + |b|^2 - 2ab gives 0."""
    x = np.tile(np.array([[100.0, 100.0, 100.0]], np.float32), (40, 1))
    x[1, 0] += np.float32(0.01)
    d = point_distances(x, x)
    assert d[0, 1] == pytest.approx(0.01, rel=1e-3) and d[2, 3] == 0
    np.testing.assert_array_equal(d, d.T)
