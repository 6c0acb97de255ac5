# SPDX-License-Identifier: Apache-2.0
"""The diffusion sampler: a pure function of a denoiser, a schedule and random numbers.

Coordinates live in numpy here: they are small, and every random number is drawn on the host.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from protenix_ms.errors import NonFiniteError
from protenix_ms.guidance.guide import Normal, StepPlace
from protenix_ms.runtime.draws import Draws
from protenix_ms.typing import Array, Float, Int

Denoise = Callable[[Float[Array, "b a 3"], Float[Array, "1"]], Float[Array, "b a 3"]]
"""Noisy coordinates and one noise level, both in angstrom -> denoised coordinates."""

Guide = Callable[
    [Callable[[Float[Array, "b a 3"]], Float[Array, "b a 3"]], Float[Array, "b a 3"], StepPlace,
     Normal], Float[Array, "b a 3"]]
"""Denoiser at the step's level, noisy coordinates, place, normal numbers -> next coordinates."""

Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)``."""


@dataclass(frozen=True)
class SamplerOptions:
    """Constants of AF3 Algorithm 18.

    Attributes:
        gamma0: extra noise of a step, relative to its level; 0 makes the sampler an ODE (mini and
            tiny variants).
        gamma_min: noise level in angstrom down to which extra noise is added.
        noise_scale: lambda, scale of the extra noise.
        step_scale: eta, length of an Euler step.
        samples_at_once: samples per denoiser call.
    """

    gamma0: float = 0.8
    gamma_min: float = 1.0
    noise_scale: float = 1.003
    step_scale: float = 1.5
    samples_at_once: int = 5

    @classmethod
    def from_config(cls, config: ConfigDict) -> SamplerOptions:
        """Read ``config.sample_diffusion``."""
        c = config
        return cls(c.gamma0, c.gamma_min, c.noise_scale_lambda, c.step_scale_eta)


def noise_schedule(config: ConfigDict, n_steps: int) -> Float[Array, "levels"]:
    """Compute noise levels in angstrom, from the largest to 0: `n_steps` + 1 numbers, float32.

    AF3 supplement, equation 7: linear in the `rho`-th root.

    Args:
        config: ``config.inference_noise_scheduler`` (`sigma_data`, `s_max`, `s_min`, `rho`).
        n_steps: number of denoiser calls.
    """
    top, bottom = (config[k] ** (1 / config["rho"]) for k in ("s_max", "s_min"))
    position = np.arange(n_steps + 1, dtype=np.float32) * np.float32(1 / n_steps)
    root = np.float32(top) + position * np.float32(bottom - top)
    levels = np.float32(config["sigma_data"]) * root ** np.float32(config["rho"])
    levels[-1] = 0
    return levels


def centre_random_augmentation(
    x: Float[Array, "b a 3"], rotations: Float[Array, "b 3 3"], translations: Float[Array, "b 3"],
    mask: Float[Array, "a"] | None = None,
) -> Float[Array, "b a 3"]:
    """Centre, rotate and move each structure (AF3 Algorithm 19), before every step.

    Args:
        x: angstrom.
        rotations, translations: one of each per structure; translations in angstrom.
        mask: atoms that count for the centre; the others become zero. None: all (the sampler).
    """
    weight = np.ones(x.shape[1], np.float64) if mask is None else mask.astype(np.float64)
    centre = np.einsum("bax,a->bx", x.astype(np.float64), weight) / (weight.sum() + 1e-12)
    x = x - centre[:, None].astype(np.float32)
    moved = np.einsum("bij,baj->bai", rotations, x) + translations[:, None]
    return moved if mask is None else moved * mask[:, None]


def sample(
    denoise: Denoise, schedule: Float[Array, "levels"], draws: Draws, options: SamplerOptions,
    size: tuple[int, int], progress: Progress | None = None, guide: Guide | None = None,
) -> Float[Array, "b a 3"]:
    """Sample structures from noise (AF3 Algorithm 18).

    Draws random numbers in upstream's order, for a group of `b` samples at once:
    ``initial_noise`` normal ``(b, a, 3)``; then in every step ``rotation`` rotations ``b``,
    ``translation`` normal ``(b, 3)`` (recorded as ``(b, 1, 3)``), ``step_noise`` normal
    ``(b, a, 3)``, drawn even where its scale is zero. Every draw names the group's first sample,
    so that a sample is the same however many there are.

    Args:
        denoise: the network with its conditioning bound.
        schedule: noise levels, see `noise_schedule`.
        draws: where random numbers come from.
        options: constants of the algorithm.
        size: number of samples, number of atoms.
        progress: called with ``("step", done, total)`` after every step.
        guide: takes the place of a step's denoising and moving (`guidance.guide.Guide`), and draws
            ``guidance_noise`` and ``guidance_perturbation``.

    Returns:
        Coordinates in angstrom, float32; NaN for samples that a guide has lost.

    Raises:
        NonFiniteError: coordinates are not finite without a guide; the error names the step.
    """
    n_samples, n_atoms = size
    groups = range(0, n_samples, options.samples_at_once)
    n_steps, finished = len(schedule) - 1, []
    for g, first in enumerate(groups):
        group = min(options.samples_at_once, n_samples - first)
        shape, alive = (group, n_atoms, 3), np.arange(group)
        x = schedule[0] * draws.normal("initial_noise", shape, first)
        for i in range(n_steps):
            noise = _draw_noise(draws, shape, first, alive)
            x = _step(denoise, x, schedule[i : i + 2], noise, options, _bound(
                guide, (i, n_steps), draws, (first, group), alive))
            finite = np.isfinite(x).all(axis=(1, 2))
            if guide is None and not finite.all():
                raise NonFiniteError("coordinates are not finite",
                                     where=f"diffusion step {i + 1} of {n_steps}")
            alive, x = alive[finite], x[finite]
            if progress is not None:
                progress("step", g * n_steps + i + 1, len(groups) * n_steps)
            if not len(x):
                break
        finished.append(np.full(shape, np.nan, np.float32))
        finished[-1][alive] = x
    return np.concatenate(finished)


def _draw_noise(
    draws: Draws, shape: tuple[int, int, int], first: int, alive: Int[Array, "k"]
) -> StepNoise:
    """Draw the random numbers of a step for a whole group; keep those of the samples alive."""
    return StepNoise(draws.rotations("rotation", shape[0], first)[alive],
                     draws.normal("translation", (shape[0], 3), first)[alive],
                     draws.normal("step_noise", shape, first)[alive])


BoundGuide = Callable[
    [Denoise, Float[Array, "b a 3"], tuple[float, float], float], Float[Array, "b a 3"]]
"""A guide that knows its step and its draws."""


def _bound(
    guide: Guide | None, step: tuple[int, int], draws: Draws, group: tuple[int, int],
    alive: Int[Array, "b"],
) -> BoundGuide | None:
    """Tell a guide its step of how many, its draws, and the samples of a group that it has."""
    if guide is None:
        return None
    first, size = group

    def normal(site: str, shape: tuple[int, ...]) -> Array:
        return draws.normal(site, (size, *shape[1:]), first)[alive]

    def bound(denoise: Denoise, x: Array, levels: tuple[float, float], scale: float) -> Array:
        raised = np.array([levels[0]], np.float32)
        place = StepPlace(*step, *levels, scale, tuple((first + alive).tolist()))
        moved = guide(lambda x: denoise(x.astype(np.float32), raised), x, place, normal)
        return moved.astype(np.float32)

    return bound


class StepNoise(NamedTuple):
    """Random numbers of one step."""

    rotations: Float[Array, "b 3 3"]
    translations: Float[Array, "b 3"]
    extra: Float[Array, "b a 3"]


def _step(
    denoise: Denoise, x: Float[Array, "b a 3"], levels: Float[Array, "2"], noise: StepNoise,
    options: SamplerOptions, guide: BoundGuide | None = None,
) -> Float[Array, "b a 3"]:
    """Step from one noise level to the next (lines 4-11)."""
    last, level = levels
    x = centre_random_augmentation(x, noise.rotations, noise.translations)
    # gamma depends on the level that follows, not on the present one
    gamma = np.float32(options.gamma0 if level > options.gamma_min else 0.0)
    raised = last * (gamma + np.float32(1))
    extra = np.float32(options.noise_scale) * np.sqrt(raised**2 - last**2)
    x_noisy = x + extra * noise.extra
    if guide is not None:
        return guide(denoise, x_noisy, (float(raised), float(level)), options.step_scale)
    denoised = denoise(x_noisy, np.array([raised], np.float32))
    # Both terms hold the noisy coordinates (the supplement's line 9 has x_l, a misprint).
    direction = (x_noisy - denoised) / raised
    return x_noisy + np.float32(options.step_scale) * (level - raised) * direction
