# SPDX-License-Identifier: Apache-2.0
"""The guided step: denoise, project, refine, and move to the next noise level.

All of it is float64 numpy on the CPU, whatever the network's precision: the projection's equations
are so nearly singular that float32 is wrong by angstroms after a few steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from protenix_ms.errors import NonFiniteError
from protenix_ms.guidance.lists import GeometryLists
from protenix_ms.guidance.potentials import POTENTIALS, Evaluation
from protenix_ms.guidance.projection import PROJECTIONS
from protenix_ms.guidance.settings import GuidanceSettings
from protenix_ms.typing import Array, Float

Normal = Callable[[str, tuple[int, ...]], Float[Array, "s a 3"]]
"""Draws standard normal numbers for a site; the leading axis counts samples."""

Observe = Callable[[str, Float[Array, "..."]], None]
"""``observe(stage, value)``, called with every intermediate result."""


@dataclass(frozen=True)
class StepPlace:
    """Where in the sampler a guided step is.

    Attributes:
        number, total: this step, counted from 0, and how many there are.
        raised, level: noise in angstrom of the coordinates that come in and go out.
        step_scale: eta, length of an Euler step.
        samples: numbers of the samples; empty for 0, 1, ...
    """

    number: int
    total: int
    raised: float
    level: float
    step_scale: float
    samples: tuple[int, ...] = ()

    @property
    def time(self) -> float:
        """Time of the schedules: 1 at the first step, 1/total at the last."""
        return 1.0 - self.number / max(1, self.total)


@dataclass(frozen=True)
class Account:
    """What guidance did to the samples of a job, by their numbers.

    Attributes:
        lost: why a sample ended: where its coordinates were not finite.
        before, after: weighted energies of the last step's estimate by term, with their `total`:
            as it was denoised, and as it was projected and refined.
    """

    lost: dict[int, str] = field(default_factory=dict)
    before: dict[int, dict[str, float]] = field(default_factory=dict)
    after: dict[int, dict[str, float]] = field(default_factory=dict)


def _ignore(stage: str, value: Float[Array, "..."]) -> None:
    """Observe nothing."""


@dataclass(frozen=True)
class Guide:
    """Guides the samples of one job.

    Attributes:
        settings: which terms, how strong.
        lists: the job's geometry.
        observe: receives ``x0_denoised``, ``projection``, ``energy_<term>``, ``logp``, ``grad``
            and ``x0_refined`` as they are computed.
        account: is written to in the last step, and where a sample is lost.
    """

    settings: GuidanceSettings
    lists: GeometryLists
    observe: Observe = _ignore
    account: Account = field(default_factory=Account)

    def __call__(
        self, denoise: Callable[[Float[Array, "s a 3"]], Float[Array, "s a 3"]],
        x_noisy: Float[Array, "s a 3"], place: StepPlace, normal: Normal,
    ) -> Float[Array, "s a 3"]:
        """Move noisy coordinates (angstrom) to the next noise level.

        Draws ``guidance_perturbation`` once per perturbation, if there are any, and
        ``guidance_noise`` once a round. The last round draws too although its noise is not used:
        so upstream does, and a recorded run can be followed. A sample whose coordinates are not
        finite becomes NaN, and `account.lost` says why; the others go on.
        """
        plan, x = self.settings, np.asarray(x_noisy, np.float64)
        noises = [plan.deviation * normal("guidance_perturbation", x.shape)
                  for _ in range(plan.perturbations)] if plan.deviation else [np.zeros_like(x)]
        perturbation, result = np.asarray(noises, np.float64), x
        spread = np.sqrt(place.raised**2 - place.level**2)
        for _ in range(plan.outer):
            x0 = self.improve(np.asarray(denoise(x), np.float64), perturbation, place)
            direction = (x - x0) / place.raised
            result = x + place.step_scale * (place.level - place.raised) * direction
            x = result + spread * normal("guidance_noise", x.shape)
        return result

    def improve(
        self, x0: Float[Array, "s a 3"], perturbation: Float[Array, "k s a 3"], place: StepPlace
    ) -> Float[Array, "s a 3"]:
        """Project and refine estimates; one that fails becomes NaN and is accounted for."""
        numbers = place.samples or tuple(range(len(x0)))
        try:
            return self._improve(x0, perturbation, replace(place, samples=numbers))
        except NonFiniteError as error:
            if len(x0) == 1:
                self.account.lost.setdefault(numbers[0], str(error))
                return np.full_like(x0, np.nan)
        return np.concatenate([
            self.improve(x0[i:i + 1], perturbation[:, i:i + 1], replace(place, samples=(number,)))
            for i, number in enumerate(numbers)])

    def _improve(
        self, x0: Float[Array, "s a 3"], perturbation: Float[Array, "k s a 3"], place: StepPlace
    ) -> Float[Array, "s a 3"]:
        """Do what `improve` says, or raise NonFiniteError for all samples together."""
        _require_finite(x0, "the denoiser", place)
        self.observe("x0_denoised", x0)
        last = place.number == place.total - 1
        if last:
            self._record(self.account.before, x0, place)
        x0 = self.refine(x0 + self.project(x0, place), perturbation, place)
        if last:
            self._record(self.account.after, x0, place)
        return x0

    def _record(
        self, record: dict[int, dict[str, float]], x0: Float[Array, "s a 3"], place: StepPlace
    ) -> None:
        """Write the energies of every sample, term by term, into a part of the account."""
        energies = self.energies(x0, place)
        energies["total"] = sum(energies.values(), start=np.zeros(len(x0)))
        for i, number in enumerate(place.samples):
            record[number] = {name: float(energy[i]) for name, energy in energies.items()}

    def project(self, x0: Float[Array, "s a 3"], place: StepPlace) -> Float[Array, "s a 3"]:
        """Compute the moves (angstrom) of all rounds of the projection."""
        plan, move, t = self.settings, np.zeros_like(x0), place.time
        terms = {term.name: term for term in plan.terms
                 if term.active(place.number) and term.enable_projection}
        for _ in range(plan.projection_outer):
            for name in (name for name in PROJECTIONS if name in terms):
                parameters = terms[name].at(t)
                for _ in range(plan.projection_inner):
                    step = PROJECTIONS[name](x0 + move, self.lists, parameters)
                    if not step.any():
                        break  # every repeat would find the same
                    move = move + step
                    _require_finite(move, f"the projection of {name}", place)
        self.observe("projection", move)
        return move

    def refine(
        self, x0: Float[Array, "s a 3"], perturbation: Float[Array, "k s a 3"], place: StepPlace
    ) -> Float[Array, "s a 3"]:
        """Follow the gradient of -E for `inner` steps of length `mu`."""
        plan = self.settings
        for step in range(plan.inner if plan.mu else 0):
            if step == plan.inner - 1:
                for name, energy in self.energies(x0, place).items():
                    self.observe(f"energy_{name}", energy)
            likelihood, gradient = self._likelihood(x0, perturbation, place)
            self.observe("logp", likelihood)
            self.observe("grad", gradient)
            x0 = x0 + plan.mu * gradient
            _require_finite(x0, "the refinement", place)
        self.observe("x0_refined", x0)
        return x0

    def energies(self, x: Float[Array, "s a 3"], place: StepPlace) -> dict[str, Float[Array, "s"]]:
        """Compute the weighted energy of every term, whether or not it acts in this step."""
        energies = {}
        for term in self.settings.terms:
            weight = term.weight(place.time)
            energy = np.zeros(len(x))
            if weight:
                energy = POTENTIALS[term.name](x, self.lists, term.at(place.time)).energy * weight
            energies[term.name] = energy
        return energies

    def total(self, x: Float[Array, "s a 3"], place: StepPlace) -> Evaluation:
        """Sum the weighted energies, and their gradients, of the terms that act in this step."""
        energy, gradient = np.zeros(len(x)), np.zeros_like(x)
        for term in self.settings.terms:
            weight = term.weight(place.time)
            if not term.active(place.number) or not weight:
                continue
            e, g = POTENTIALS[term.name](x, self.lists, term.at(place.time))
            g = g * weight
            _require_finite(g, term.name, place)
            energy, gradient = energy + e * weight, gradient + g
        return Evaluation(energy, gradient)

    def _likelihood(
        self, x0: Float[Array, "s a 3"], perturbation: Float[Array, "k s a 3"], place: StepPlace
    ) -> tuple[Float[Array, "s"], Float[Array, "s a 3"]]:
        """Estimate log p(x0), the log of the mean of exp(-E), and its gradient."""
        count, samples = perturbation.shape[:2]
        energy, gradient = self.total((x0 + perturbation).reshape(-1, *x0.shape[1:]), place)
        if count == 1:
            return -energy, -gradient
        log = -energy.reshape(count, samples)
        top = log.max(axis=0)
        share = np.exp(log - top)
        likelihood = top + np.log(share.mean(axis=0))
        share = share / share.sum(axis=0)
        return likelihood, -np.einsum("ks,ksai->sai", share, gradient.reshape(count, *x0.shape))


def _require_finite(x: Float[Array, "s a 3"], stage: str, place: StepPlace) -> None:
    """Raise NonFiniteError naming the first sample that float32 cannot hold, and the stage."""
    wrong = np.flatnonzero(~(np.abs(x) <= np.finfo(np.float32).max).all(axis=(1, 2)))
    if len(wrong):
        samples = place.samples or range(len(x))
        number = samples[wrong[0] % len(samples)]  # perturbed copies follow one another
        raise NonFiniteError(f"{stage} gives coordinates that are not finite",
                             where=f"guidance of sample {number + 1}",
                             fix="lower mu or the term's weight, or leave guidance off")
