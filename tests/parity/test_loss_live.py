# SPDX-License-Identifier: Apache-2.0
"""Each loss beside upstream's on random structures: value 1e-5, gradient 1e-4."""

from collections.abc import Callable

import mindspore as ms
import numpy as np
import pytest
from smooth_lddt_forms import dense_smooth_lddt_loss, sparse_smooth_lddt_loss

from protenix_ms.config.training import training_config
from protenix_ms.geometry.bins import linspace
from protenix_ms.loss import binned, smooth_lddt
from protenix_ms.loss.coordinates import atom_weights, bond_loss, mse_loss
from protenix_ms.loss.labels import AtomRoles, Labels
from protenix_ms.runtime.policy import Policy, using

torch = pytest.importorskip("torch", reason="parity needs PyTorch (extra `test`)")
theirs = pytest.importorskip("protenix.model.loss", reason="parity needs protenix 2.0.0")

TOKENS, ATOMS, SAMPLES = 18, 60, 3


@pytest.fixture(scope="module", params=[0, 1])
def case(request):
    """Make a structure, roles, and the same as upstream's feature dictionary."""
    rng = np.random.default_rng(request.param)
    kind = rng.integers(0, 4, ATOMS)
    token = np.sort(np.r_[np.arange(TOKENS), rng.integers(0, TOKENS, ATOMS - TOKENS)])
    first = np.unique(token, return_index=True)[1]
    rep = np.zeros(ATOMS, int)
    rep[first] = 1
    features = {
        "is_dna": kind == 1, "is_rna": kind == 2, "is_ligand": kind == 3,
        "distogram_rep_atom_mask": rep, "pae_rep_atom_mask": rep, "plddt_m_rep_atom_mask": rep,
        "frame_atom_index": np.stack([rng.permutation(ATOMS)[:3] for _ in range(TOKENS)]),
        "has_frame": rng.random(TOKENS) < 0.7, "bond_mask": rng.random((ATOMS, ATOMS)) < 0.01,
    }
    features = {k: v.astype(int) for k, v in features.items()}
    np.fill_diagonal(features["bond_mask"], 0)
    resolved = rng.random(ATOMS) < 0.8
    x = (8 * rng.standard_normal((ATOMS, 3)) * resolved[:, None]).astype("f4")
    samples = (x + 2 * rng.standard_normal((SAMPLES, ATOMS, 3))).astype("f4")
    scale = rng.random(SAMPLES).astype("f4") + 0.5
    return features, Labels(x, resolved), AtomRoles.from_features(features), samples, scale


def compare(value: np.ndarray, ours: Callable, upstream: Callable) -> None:
    loss, gradient = ms.value_and_grad(ours)(ms.Tensor(value))
    leaf = torch.tensor(value, requires_grad=True)
    expected = upstream(leaf)
    expected.backward()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    reference = leaf.grad.numpy()
    assert np.abs(reference).max() > 0
    assert np.abs(gradient.asnumpy() - reference).max() <= 1e-4 * np.abs(reference).max()


def tensors(case) -> dict:
    features, labels = case[0], case[1]
    t = {k: torch.tensor(v) for k, v in features.items()}
    known = torch.tensor(labels.resolved.astype(int))
    return {**t, "coordinate": torch.tensor(labels.x), "coordinate_mask": known,
            "distance_mask": known[:, None] * known[None]}


def test_mse(case):
    _, labels, roles, samples, scale = case
    t = tensors(case)
    weight = atom_weights(roles, labels, training_config().loss.diffusion.mse)
    compare(samples, lambda x: mse_loss(x, labels, weight, scale),
            lambda x: theirs.MSELoss()(x, t["coordinate"], t["coordinate_mask"], t["is_dna"],
                                       t["is_rna"], t["is_ligand"], torch.tensor(scale)))


def test_bond(case):
    _, labels, roles, samples, scale = case
    t = tensors(case)
    compare(samples, lambda x: bond_loss(x, labels, roles, scale),
            lambda x: theirs.BondLoss().sparse_forward(
                x, t["coordinate"], t["distance_mask"], t["bond_mask"], torch.tensor(scale)))


@pytest.mark.parametrize("form", ["kernel", "rows", "one row at a time", "dense", "sparse"])
def test_smooth_lddt(case, form):
    _, labels, roles, samples, _ = case
    near = smooth_lddt.Neighbours.from_labels(labels, roles)
    t = tensors(case)
    mask = theirs.compute_lddt_mask(
        theirs.cdist(t["coordinate"]), t["distance_mask"], t["is_dna"] + t["is_rna"])
    ours = {
        "dense": lambda x: dense_smooth_lddt_loss(x, near),
        "sparse": lambda x: sparse_smooth_lddt_loss(x, labels, roles),
    }.get(form, lambda x: smooth_lddt.smooth_lddt_loss(x, near))
    chunk = 1 if form == "one row at a time" else None
    with using(Policy(chunk=chunk, kernels=form == "kernel")):
        compare(samples, ours, lambda x: theirs.SmoothLDDTLoss(eps=1e-6).sparse_forward(
            x, t["coordinate"], mask))


def logits(case, *shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape).astype("f4") * 2


def test_distogram(case):
    _, labels, roles, *_ = case
    t = tensors(case)
    compare(logits(case, TOKENS, TOKENS, 64),
            lambda v: binned.distogram_loss(v, labels, roles),
            lambda v: theirs.DistogramLoss()(v, t["coordinate"], t["coordinate_mask"],
                                             t["distogram_rep_atom_mask"]))


def test_pde(case):
    _, labels, roles, samples, _ = case
    t = tensors(case)
    compare(logits(case, SAMPLES, TOKENS, TOKENS, 64),
            lambda v: binned.pde_loss(v, samples, labels, roles),
            lambda v: theirs.PDELoss()(v, torch.tensor(samples), t["coordinate"],
                                       t["coordinate_mask"], t["distogram_rep_atom_mask"]))


def test_pae(case):
    _, labels, roles, samples, _ = case
    t = tensors(case)
    compare(logits(case, SAMPLES, TOKENS, TOKENS, 64),
            lambda v: binned.pae_loss(v, samples, labels, roles),
            lambda v: theirs.PAELoss()(
                v, torch.tensor(samples), t["coordinate"], t["coordinate_mask"],
                t["frame_atom_index"], t["pae_rep_atom_mask"], t["has_frame"]))


def test_plddt(case):
    _, labels, roles, samples, _ = case
    t = tensors(case)
    compare(logits(case, SAMPLES, ATOMS, 50),
            lambda v: binned.plddt_loss(v, samples, labels, roles),
            lambda v: theirs.PLDDTLoss()(
                v, torch.tensor(samples), t["coordinate"], t["coordinate_mask"],
                t["is_dna"] + t["is_rna"], 1 - t["is_ligand"], t["plddt_m_rep_atom_mask"]))


def test_resolved(case):
    labels = case[1]
    t = tensors(case)
    compare(logits(case, SAMPLES, ATOMS, 2), lambda v: binned.resolved_loss(v, labels),
            lambda v: theirs.ExperimentallyResolvedLoss()(v, t["coordinate_mask"]))


@pytest.mark.parametrize("bounds", [(0.0, 1.0, 51), (0.0, 32.0, 65), (2.3125, 21.6875, 63)])
def test_edges_are_rounded_alike(bounds):
    assert np.array_equal(linspace(*bounds), torch.linspace(*bounds).numpy())
