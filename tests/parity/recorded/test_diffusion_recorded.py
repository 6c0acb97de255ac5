# SPDX-License-Identifier: Apache-2.0
"""Denoiser and sampler against upstream's recordings, from recorded trunk outputs."""

import mindspore as ms
import numpy as np
import pytest

from protenix_ms.model.atom_features import AtomFeatures
from protenix_ms.model.diffusion import DiffusionModule
from protenix_ms.model.relative_position import RelativePositions
from protenix_ms.model.sampler import SamplerOptions, noise_schedule, sample
from protenix_ms.runtime.draws import SeededDraws
from protenix_ms.runtime.trace import listening

CASES = [
    "tiny/protenix-v2",
    "tiny/protenix_base_default_v0.5.0",
    "tiny/protenix_base_default_v1.0.0",
    "tiny/protenix_base_default_v1.0.0_msa",
    "tiny/protenix_tiny_default_v0.5.0",
]
PARTS = ("diffusion_conditioning", "atom_attention_encoder", "diffusion_transformer",
         "atom_attention_decoder")


def error(ours, theirs) -> float:
    ours, theirs = np.squeeze(ours), np.squeeze(theirs)
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


@pytest.fixture(scope="module", params=CASES)
def prepared(request, recording):
    """Return the recorded case, our module with its weights, and its conditioning."""
    case = recording(request.param)
    module = case.load(DiffusionModule(case.config.model.diffusion_module), "diffusion_module")
    trunk = [ms.Tensor(x) for x in case.trunk]
    atoms, positions = AtomFeatures.from_features(case.features), RelativePositions(case.features)
    return case, module, module.prepare(atoms, positions, *trunk)


class Stages(dict):
    """Keeps what it hears under the recording's keys."""

    def __call__(self, name, value):
        step = sum(k.startswith(f"{name}#") and k.count("/") == 0 for k in self["heard"])
        self["heard"].append(f"{name}#{step}")
        values = value if isinstance(value, tuple) else (value,)
        for i, v in enumerate(values):
            place = f"/{i}" if isinstance(value, tuple) else ""
            self[f"{name}#{step}{place}"] = v.asnumpy()


def test_two_noise_levels_at_once(prepared):
    case, module, inputs = prepared
    stages = Stages(heard=[])
    with listening(stages):
        x = module(ms.Tensor(case["denoise/x_noisy"]), case["denoise/t_hat"], inputs)
    assert len(set(case["denoise/t_hat"])) > 1
    assert error(x.asnumpy(), case["denoise/plain/x_denoised"]) < 1e-5
    recorded = [k for k in case.outputs if k.startswith("denoise/plain/diffusion_module")]
    assert len(recorded) >= 6
    for key in recorded:
        assert error(stages[key.removeprefix("denoise/plain/")], case[key]) < 1e-5, key


def test_every_step_with_one_shared_noise_level(prepared):
    case, module, arguments = prepared
    for step in range(case.config.sample_diffusion.N_step):
        inputs = f"in/diffusion_module#{step}"
        level = case[f"{inputs}/t_hat_noise_level"][:1]
        stages = Stages(heard=[])
        with listening(stages):
            module(ms.Tensor(case[f"{inputs}/x_noisy"]), level, arguments)
        for key, value in stages.items():
            if key != "heard":
                recorded = case[f"act/{key.replace('#0', f'#{step}')}"]
                assert error(value, recorded) < 1e-5, (key, step)


class RecordedDraws(SeededDraws):
    """Gives recorded arrays in the order of each site."""

    PLACES = {
        "initial_noise": ("randn", "generator._chunk_sample_diffusion"),
        "step_noise": ("randn", "generator._chunk_sample_diffusion"),
        "rotation": ("rotation", "utils.centre_random_augmentation"),
        "translation": ("randn", "utils.centre_random_augmentation"),
    }

    def __init__(self, case):
        super().__init__(0)
        self.left = {p: case.draws(*p) for p in set(self.PLACES.values())}

    def normal(self, site, shape, first=None):
        return self.left[self.PLACES[site]].pop(0).reshape(shape)

    def rotations(self, site, n, first=None):
        return self.normal(site, (n, 3, 3))


def test_sampler_end_to_end(prepared):
    case, module, inputs = prepared
    draws, config = RecordedDraws(case), case.config
    schedule = noise_schedule(config.inference_noise_scheduler, config.sample_diffusion.N_step)
    x = sample(
        lambda x, t: module(ms.Tensor(x), t, inputs).asnumpy(),
        schedule, draws, SamplerOptions.from_config(config.sample_diffusion),
        case["pred/coordinate"].shape[:2],
    )
    assert not any(draws.left.values()), "draws left over"
    assert np.abs(x - case["pred/coordinate"]).max() < 1e-4  # angstrom
