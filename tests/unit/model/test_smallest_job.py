# SPDX-License-Identifier: Apache-2.0
"""Jobs at the edge of shapes: one token of one atom (an ion), without MSA, templates or bonds."""

import numpy as np
import pytest

from protenix_ms.config import get_config
from protenix_ms.model.protenix import Protenix
from protenix_ms.model.weights import OWN, load_weights, parameter_shapes, rule_array
from protenix_ms.runtime import rows as chunk
from protenix_ms.runtime.draws import SeededDraws

SMALL = {"c_s": 32, "c_z": 32, "c_token": 32, "c_s_inputs": 97, "c_atom": 16, "c_atompair": 4}


@pytest.fixture(scope="module")
def model() -> Protenix:
    config = get_config(
        "protenix_base_default_v1.0.0",
        {
            "model.N_cycle": 2, "model.pairformer.n_blocks": 1, "model.msa_module.n_blocks": 2,
            "model.template_embedder.n_blocks": 1, "model.confidence_head.n_blocks": 1,
            "model.diffusion_module.c_token": 32, "model.diffusion_module.transformer.n_blocks": 1,
            "sample_diffusion.N_step": 2, "sample_diffusion.N_sample": 2,
        },
        SMALL,
    )
    built = Protenix(config)
    shapes = {n: s for n, s in parameter_shapes(config).items() if n not in OWN}
    load_weights(built, ((n, rule_array(n, s)) for n, s in shapes.items()))
    return built


def ion(n: int) -> dict[str, np.ndarray]:
    """Make `n` ions: tokens of one atom."""
    ids = np.arange(n)
    return {
        "token_index": ids, "residue_index": np.ones(n, int), "asym_id": ids,
        "entity_id": np.zeros(n, int), "sym_id": ids, "token_bonds": np.zeros((n, n), "f4"),
        "restype": np.eye(32, dtype="f4")[np.full(n, 20)], "profile": np.zeros((n, 32), "f4"),
        "deletion_mean": np.zeros(n, "f4"), "ref_pos": np.zeros((n, 3), "f4"),
        "ref_mask": np.ones(n, int), "ref_charge": np.full(n, 2),
        "ref_element": np.eye(128, dtype=int)[np.full(n, 11)],
        "ref_atom_name_chars": np.zeros((n, 4, 64), int), "ref_space_uid": ids,
        "atom_to_token_idx": ids, "atom_to_tokatom_idx": np.zeros(n, int),
        "distogram_rep_atom_mask": np.ones(n, int), "has_frame": np.zeros(n, int),
    }


@pytest.mark.parametrize("n", [1, 2, 33])
def test_ions_alone(model, n):
    events = []
    prediction = model.predict(ion(n), SeededDraws(1), lambda *done: events.append(done))
    assert prediction.coordinates.shape == (2, n, 3)
    assert prediction.contact_probs.shape == (n, n)
    assert np.isfinite(prediction.coordinates).all()
    assert all(np.isfinite(c.pae).all() for c in prediction.confidence)
    assert events[:2] == [("recycle", 1, 2), ("recycle", 2, 2)]
    assert {stage for stage, _, _ in events} == {"recycle", "step", "sample"}


def test_the_seed_decides(model):
    first, again, other = (
        model.predict(ion(2), SeededDraws(seed)).coordinates for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again) and not np.allclose(first, other)


def test_chunks_and_large_arrays_change_nothing(model, monkeypatch):
    """Arrays of a job of thousands of tokens: in chunks everywhere, written over, by numpy."""
    whole = model.predict(ion(33), SeededDraws(5))
    monkeypatch.setattr(chunk, "MOST_FLOATS", 2**12)
    monkeypatch.setattr(chunk, "LARGE", 1)
    large = model.predict(ion(33), SeededDraws(5))
    size = np.abs(whole.coordinates).max()
    assert np.abs(large.coordinates - whole.coordinates).max() < 1e-4 * size
    assert np.abs(large.contact_probs - whole.contact_probs).max() < 1e-5
    for a, b in zip(large.confidence, whole.confidence):
        assert np.abs(a.pae - b.pae).max() < 1e-4 and np.abs(a.pde - b.pde).max() < 1e-4
