# SPDX-License-Identifier: Apache-2.0
"""The sampler with denoisers whose answers are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protenix_ms.config import get_config
from protenix_ms.errors import NonFiniteError
from protenix_ms.model.sampler import (
    SamplerOptions,
    centre_random_augmentation,
    noise_schedule,
    sample,
)
from protenix_ms.runtime.draws import SeededDraws

TARGET = np.random.default_rng(1).standard_normal((7, 3)).astype(np.float32)
ODE = SamplerOptions(gamma0=0.0, step_scale=1.0)


def shrink(x, t):
    """Denoise optimally a single atom cloud at the origin with unit variance."""
    return (x / (1 + t**2)).astype(np.float32)


def test_last_euler_step_of_an_ode_lands_on_the_denoised():
    x = sample(lambda x, t: np.broadcast_to(TARGET, x.shape), np.array([9, 3, 0], np.float32),
               SeededDraws(0), ODE, (2, 7))
    np.testing.assert_allclose(x, np.broadcast_to(TARGET, x.shape), atol=1e-6)


def test_step_scale_overshoots():
    options = SamplerOptions(gamma0=0.0, step_scale=1.5)
    seen = []

    def denoise(x, t):
        seen.append(x)
        return np.broadcast_to(TARGET, x.shape)

    x = sample(denoise, np.array([9, 0], np.float32), SeededDraws(0), options, (1, 7))
    np.testing.assert_allclose(x, seen[0] + 1.5 * (TARGET - seen[0]), rtol=1e-5, atol=1e-5)


def test_gamma_looks_at_the_next_level():
    """Extra noise before a step iff the level after it is above gamma_min, strictly."""
    seen = []

    def denoise(x, t):
        seen.append(float(t[0]))
        return shrink(x, t)

    schedule = np.array([20, 2, 1.5, 1.0, 0.5, 0], np.float32)
    sample(denoise, schedule, SeededDraws(0), SamplerOptions(), (1, 5))
    np.testing.assert_allclose(seen, [36, 3.6, 1.5, 1.0, 0.5], rtol=1e-6)


def test_scale_of_extra_noise():
    """x_noisy - x has standard deviation lambda sqrt(t_hat^2 - t^2)."""
    seen = []
    schedule = np.array([100, 50, 0], np.float32)
    options = SamplerOptions(gamma0=0.8, noise_scale=1.003)

    def denoise(x, t):
        seen.append(x)
        return x

    sample(denoise, schedule, SeededDraws(3), options, (2, 20000))
    expected = np.sqrt(100**2 + 1.003**2 * (180**2 - 100**2))
    assert seen[0].std() == pytest.approx(expected, rel=0.02)


def test_every_step_starts_centred_and_moved():
    """With the denoiser's input unperturbed, its centre is the drawn translation."""
    centres = []

    def denoise(x, t):
        centres.append(x.mean(1))
        return x + 100

    sample(denoise, np.array([3, 2, 1, 0], np.float32), SeededDraws(5), ODE, (2, 50))
    draws = SeededDraws(5)
    for centre in centres:
        np.testing.assert_allclose(centre, draws.normal("translation", (2, 3), 0), atol=1e-4)


@pytest.mark.parametrize("at_once", [1, 2, 5, 7])
def test_a_sample_does_not_depend_on_the_others(at_once):
    schedule, whole = np.array([9, 3, 1, 0.1, 0], np.float32), SamplerOptions()
    five = sample(shrink, schedule, SeededDraws(4), whole, (5, 7))
    other = sample(shrink, schedule, SeededDraws(4), SamplerOptions(samples_at_once=at_once),
                   (3, 7))
    np.testing.assert_allclose(other, five[:3], rtol=1e-5, atol=1e-5)
    assert np.abs(five[0] - five[1]).max() > 1e-3


def test_progress_counts_steps_of_all_groups():
    events = []
    sample(shrink, np.array([9, 3, 0], np.float32), SeededDraws(4),
           SamplerOptions(samples_at_once=2), (3, 7), lambda *event: events.append(event))
    assert events == [("step", i, 4) for i in (1, 2, 3, 4)]


def test_non_finite_names_the_step():
    def denoise(x, t):
        return x * np.nan if t[0] < 5 else shrink(x, t)

    with pytest.raises(NonFiniteError, match="diffusion step 2 of 3"):
        sample(denoise, np.array([9, 3, 1, 0], np.float32), SeededDraws(4), ODE, (1, 7))


def test_a_sample_that_a_guide_loses_ends_alone():
    places = []

    def guide(denoise, x, place, normal):
        places.append(place)
        moved = denoise(x) + normal("guidance_noise", x.shape)
        return np.where((place.number == 1) & (np.array(place.samples) == 1)[:, None, None],
                        np.nan, moved)

    schedule, draws = np.array([9, 3, 1, 0], np.float32), (SeededDraws(4), SeededDraws(4))
    whole = sample(shrink, schedule, draws[0], ODE, (3, 7), guide=lambda f, x, place, normal: (
        f(x) + normal("guidance_noise", x.shape)))
    left = sample(shrink, schedule, draws[1], ODE, (3, 7), guide=guide)
    assert np.isnan(left[1]).all()
    assert np.array_equal(left[[0, 2]], whole[[0, 2]])
    assert [place.samples for place in places] == [(0, 1, 2), (0, 1, 2), (0, 2)]


@pytest.mark.parametrize("n_steps", [1, 5, 200])
def test_schedule(n_steps):
    levels = noise_schedule(get_config("protenix-v2").inference_noise_scheduler, n_steps)
    assert levels.dtype == np.float32 and len(levels) == n_steps + 1
    assert levels[0] == pytest.approx(16 * 160) and levels[-1] == 0
    assert (np.diff(levels) < 0).all()


def test_options_of_the_variants():
    base = SamplerOptions.from_config(get_config("protenix_base_default_v1.0.0").sample_diffusion)
    tiny = SamplerOptions.from_config(get_config("protenix_tiny_default_v0.5.0").sample_diffusion)
    assert base == SamplerOptions(0.8, 1.0, 1.003, 1.5, 5)
    assert tiny == SamplerOptions(0.0, 1.0, 1.003, 1.0, 5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 30), st.integers(0, 2**20))
def test_augmentation_is_rigid(b, a, seed):
    x = np.random.default_rng(seed).normal(50, 9, (b, a, 3)).astype(np.float32)
    draws = SeededDraws(seed)
    rotations, translations = draws.rotations("r", b), draws.normal("t", (b, 3))
    y = centre_random_augmentation(x, rotations, translations)
    np.testing.assert_allclose(y.mean(1), translations, atol=1e-4)
    pairs = [np.linalg.norm(v[:, :, None] - v[:, None], axis=-1) for v in (x, y)]
    np.testing.assert_allclose(pairs[0], pairs[1], atol=1e-4)


def test_augmentation_ignores_masked_atoms():
    x = np.random.default_rng(0).normal(0, 9, (2, 6, 3)).astype(np.float32)
    mask = np.array([1, 1, 0, 1, 1, 1], np.float32)
    x[:, 2] = 1e4
    still = np.tile(np.eye(3, dtype=np.float32), (2, 1, 1))
    y = centre_random_augmentation(x, still, np.zeros((2, 3), np.float32), mask)
    assert not y[:, 2].any()
    np.testing.assert_allclose(y[:, mask > 0].mean(1), 0, atol=1e-5)
