# SPDX-License-Identifier: Apache-2.0
"""Atom transformer, conditioning and denoiser beside upstream's plain (not fused) path."""

import mindspore as ms
import numpy as np
import pytest
import torch
from ml_collections import ConfigDict

from protenix_ms.config import get_config
from protenix_ms.model import atom_transformer, diffusion_transformer
from protenix_ms.model.atom_features import AtomFeatures
from protenix_ms.model.atom_windows import AtomWindows
from protenix_ms.model.diffusion import DiffusionModule
from protenix_ms.model.diffusion_conditioning import DiffusionConditioning
from protenix_ms.model.relative_position import RelativePositions
from protenix_ms.model.sampler import noise_schedule

C_ATOM, C_PAIR, C_S, C_Z, C_TOKEN, C_INPUTS = 16, 8, 24, 12, 32, 20
STACK = 1e-4


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    rng = np.random.RandomState(seed + sum(shape))
    return rng.standard_normal(shape).astype(np.float32)


def job(n_atoms: int, n_tokens: int) -> dict[str, np.ndarray]:
    """Make features: tokens of uneven size, two chains, charges, a missing atom."""
    rng = np.random.RandomState(n_atoms)
    cuts = np.sort(rng.choice(np.arange(1, n_atoms), n_tokens - 1, replace=False))
    token = np.searchsorted(cuts, np.arange(n_atoms), side="right")
    mask = np.ones(n_atoms, np.int64)
    mask[n_atoms // 2] = 0
    chain = (np.arange(n_tokens) > n_tokens // 2).astype(np.int64)
    return {
        "ref_pos": 3 * rng.standard_normal((n_atoms, 3)).astype(np.float32),
        "ref_charge": rng.randint(-2, 3, n_atoms),
        "ref_mask": mask,
        "ref_element": np.eye(128, dtype=np.int64)[rng.randint(0, 128, n_atoms)],
        "ref_atom_name_chars": np.eye(64, dtype=np.int64)[rng.randint(0, 64, (n_atoms, 4))],
        "ref_space_uid": token // 2,
        "atom_to_token_idx": token,
        "restype": np.zeros((n_tokens, 32), np.float32),
        "asym_id": chain, "entity_id": 0 * chain, "sym_id": chain,
        "residue_index": np.arange(n_tokens) // 2, "token_index": np.arange(n_tokens),
    }


def upstream_features(features: dict[str, np.ndarray]) -> dict:
    """Make the same features as upstream, with its windows and relative positions."""
    from protenix.model.modules.embedders import RelativePositionEncoding
    from protenix.model.protenix import update_input_feature_dict

    x = {k: torch.tensor(v) for k, v in features.items()}
    x = {k: v.to(torch.get_default_dtype()) if v.is_floating_point() else v for k, v in x.items()}
    x = update_input_feature_dict(x)
    x = RelativePositionEncoding(c_z=C_Z).generate_relp(x)
    x["relp"] = x["relp"].to(torch.get_default_dtype())
    return x


ATOM_KEYS = ("atom_to_token_idx", "ref_pos", "ref_charge", "ref_mask", "ref_atom_name_chars",
             "ref_element", "d_lm", "v_lm", "pad_info")


def test_token_transformer(compare, upstream):
    args = {"c_a": C_TOKEN, "c_s": C_S, "c_z": C_Z, "n_blocks": 2, "n_heads": 4}
    compare(
        diffusion_transformer.DiffusionTransformer(**args),
        upstream("modules.transformer").DiffusionTransformer(**args),
        {"a": normal(3, 9, C_TOKEN), "s": normal(3, 9, C_S), "z": normal(9, 9, C_Z)},
        call_ours=lambda m, x: m(x["a"], x["s"], m.pair_biases(x["z"])),
        call_upstream=lambda m, x: m(x["a"], x["s"], x["z"][None]),
        bound=STACK,
    ).run()


def test_biases_made_at_each_use_are_the_same(monkeypatch):
    cell = diffusion_transformer.DiffusionTransformer(8, 8, 4, n_blocks=2, n_heads=2)
    for p in cell.get_parameters():
        p.set_data(ms.Tensor(normal(*p.shape)))
    for shape, windows in (((5, 5, 4), None), ((2, 32, 128, 4), AtomWindows.over(40))):
        z = ms.Tensor(normal(*shape))
        kept = cell.pair_biases(z, windows)
        monkeypatch.setattr(diffusion_transformer, "CACHED_FLOATS", 0)
        biases = cell.pair_biases(z, windows)
        assert biases._kept is None and kept._kept is not None and len(biases) == len(kept) == 2
        for i in range(2):
            np.testing.assert_allclose(biases[i].asnumpy(), kept[i].asnumpy(), rtol=1e-5, atol=1e-6)
        monkeypatch.undo()


@pytest.mark.parametrize("n_atoms", [1, 31, 32, 33, 80, 145])
def test_atom_transformer(compare, upstream, n_atoms):
    """Padded queries and keys at every kind of end; three samples share one conditioning."""
    args = {"c_atom": C_ATOM, "c_atompair": C_PAIR, "n_blocks": 2, "n_heads": 2}
    windows = AtomWindows.over(n_atoms)

    def ours(m, x):
        biases = m.diffusion_transformer.pair_biases(x["p"], windows)
        return m.diffusion_transformer(x["q"], x["c"], biases, windows)

    compare(
        atom_transformer.AtomTransformer(**args),
        upstream("modules.transformer").AtomTransformer(**args),
        {"q": normal(3, n_atoms, C_ATOM), "c": normal(1, n_atoms, C_ATOM, seed=1),
         "p": normal(windows.n_windows, 32, 128, C_PAIR)},
        call_ours=ours,
        call_upstream=lambda m, x: m(x["q"], x["c"], x["p"][None]),
        bound=STACK,
        # one atom attends to itself alone: nothing flows through the logits
        gradient=n_atoms > 1,
    ).run()


def test_encoder_without_coordinates(compare, upstream):
    features = job(70, 11)
    atoms = AtomFeatures.from_features(features)

    def ours(m, x):
        c, p = m.condition(atoms)
        a, q = m(atoms, c, m.atom_transformer.pair_biases(p, atoms))
        return a + 0 * x["none"], q, c, p

    def theirs(m, x):
        y = upstream_features(features)
        return m(*[y[k] for k in ATOM_KEYS])

    case = compare(
        atom_transformer.AtomAttentionEncoder(C_TOKEN, C_ATOM, C_PAIR, 2, 2),
        upstream("modules.transformer").AtomAttentionEncoder(
            has_coords=False, c_token=C_TOKEN, c_atom=C_ATOM, c_atompair=C_PAIR, n_blocks=2,
            n_heads=2),
        {"none": np.zeros(1, np.float32)},
        call_ours=ours,
        call_upstream=lambda m, x: _added(theirs(m, x), x["none"]),
        bound=STACK,
        zero_gradients=("none",),
    )
    case.run()


def _added(outputs: tuple, nothing) -> tuple:
    return outputs[0] + 0 * nothing, *outputs[1:]


def test_encoder_with_coordinates(compare, upstream):
    features = job(70, 11)
    atoms = AtomFeatures.from_features(features)

    def ours(m, x):
        c, p = m.condition(atoms, x["s"], x["z"])
        return *m(atoms, c, m.atom_transformer.pair_biases(p, atoms), x["r"]), c, p

    def theirs(m, x):
        y = upstream_features(features)
        return m(*[y[k] for k in ATOM_KEYS], r_l=x["r"], s=x["s"][None], z=x["z"])

    compare(
        atom_transformer.AtomAttentionEncoder(C_TOKEN, C_ATOM, C_PAIR, 2, 2, (C_S, C_Z)),
        upstream("modules.transformer").AtomAttentionEncoder(
            has_coords=True, c_token=C_TOKEN, c_atom=C_ATOM, c_atompair=C_PAIR, c_s=C_S, c_z=C_Z,
            n_blocks=2, n_heads=2),
        {"r": normal(3, 70, 3), "s": normal(11, C_S), "z": normal(11, 11, C_Z)},
        call_ours=ours, call_upstream=theirs, bound=STACK,
    ).run()


def test_decoder(compare, upstream):
    features = job(70, 11)
    atoms = AtomFeatures.from_features(features)

    def ours(m, x):
        biases = m.atom_transformer.pair_biases(x["p"], atoms)
        return m(atoms, x["a"], x["q"], x["c"], biases)

    compare(
        atom_transformer.AtomAttentionDecoder(C_TOKEN, C_ATOM, C_PAIR, 2, 2),
        upstream("modules.transformer").AtomAttentionDecoder(
            2, 2, c_token=C_TOKEN, c_atom=C_ATOM, c_atompair=C_PAIR),
        {"a": normal(2, 11, C_TOKEN), "q": normal(2, 70, C_ATOM), "c": normal(1, 70, C_ATOM),
         "p": normal(3, 32, 128, C_PAIR)},
        call_ours=ours,
        call_upstream=lambda m, x: m(torch.tensor(features["atom_to_token_idx"]), x["a"], x["q"],
                                     x["c"], x["p"][None]),
        bound=STACK,
    ).run()


LEVELS = np.array([0.05, 30.0, 2560.0], np.float32)
TRUNK = {"s_inputs": normal(11, C_INPUTS), "s_trunk": normal(11, C_S),
         "z_trunk": normal(11, 11, C_Z)}


def test_conditioning(compare, upstream):
    features = job(70, 11)

    def ours(m, x):
        pair = m.pair(x["z_trunk"], RelativePositions(features))
        return m(m.single(x["s_trunk"], x["s_inputs"]), LEVELS), pair

    def theirs(m, x):
        m.fourier_embedding.requires_grad_(False)  # as upstream has it
        relp = upstream_features(features)["relp"]
        levels = torch.tensor(LEVELS).to(x["s_trunk"].dtype)
        return m(levels, relp, pair_z=None, **x)

    compare(
        DiffusionConditioning(C_S, C_Z, C_INPUTS),
        upstream("modules.diffusion").DiffusionConditioning(
            c_s=C_S, c_z=C_Z, c_s_inputs=C_INPUTS),
        TRUNK, call_ours=ours, call_upstream=theirs,
    ).run()


CONFIG = ConfigDict({
    "sigma_data": 16.0, "c_token": C_TOKEN, "c_atom": C_ATOM, "c_atompair": C_PAIR, "c_z": C_Z,
    "c_s": C_S, "c_s_inputs": C_INPUTS, "atom_encoder": {"n_blocks": 2, "n_heads": 2},
    "transformer": {"n_blocks": 2, "n_heads": 4}, "atom_decoder": {"n_blocks": 1, "n_heads": 2},
})


@pytest.mark.parametrize("shared_level", [False, True])
def test_denoiser(compare, upstream, shared_level):
    features = job(70, 11)
    atoms, positions = AtomFeatures.from_features(features), RelativePositions(features)
    levels = LEVELS[1:2] if shared_level else LEVELS

    def ours(m, x):
        prepared = m.prepare(atoms, positions, x["s_inputs"], x["s_trunk"], x["z_trunk"])
        return m(x["x_noisy"], levels, prepared)

    def theirs(m, x):
        m.diffusion_conditioning.fourier_embedding.requires_grad_(False)
        y = upstream_features(features)
        t = torch.tensor(np.broadcast_to(levels, 3).copy()).to(x["x_noisy"].dtype)
        return m(t_hat_noise_level=t, input_feature_dict=y, pair_z=None, p_lm=None, c_l=None, **x)

    compare(
        DiffusionModule(CONFIG),
        upstream("modules.diffusion").DiffusionModule(**CONFIG.to_dict()),
        {"x_noisy": normal(3, 70, 3) * LEVELS[:, None, None], **TRUNK},
        call_ours=ours, call_upstream=theirs, bound=STACK,
    ).run()


@pytest.mark.parametrize("n_steps", [5, 200])
def test_schedule(upstream, n_steps):
    config = get_config("protenix-v2").inference_noise_scheduler
    theirs = upstream("generator").InferenceNoiseScheduler(**config.to_dict())(n_steps).numpy()
    np.testing.assert_allclose(noise_schedule(config, n_steps), theirs, rtol=1e-6)
