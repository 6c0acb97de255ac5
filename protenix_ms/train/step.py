# SPDX-License-Identifier: Apache-2.0
"""One training example: forward pass, loss and gradients (AF3 SI section 4, figure 2c)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from mindspore import Tensor, float32, ops
from ml_collections import ConfigDict

from protenix_ms.errors import ConfigError
from protenix_ms.geometry.distances import point_distances
from protenix_ms.loss.labels import Labels
from protenix_ms.loss.total import Confidence, Denoised, TrainingLoss
from protenix_ms.metrics.permutation import permute_labels
from protenix_ms.model.confidence import ConfidenceLogits
from protenix_ms.model.confidence_features import ConfidenceFeatures
from protenix_ms.model.diffusion import Conditioning
from protenix_ms.model.layers import set_precision
from protenix_ms.model.protenix import ModelInputs, Protenix, Trunk
from protenix_ms.model.sampler import centre_random_augmentation
from protenix_ms.runtime.draws import Draws
from protenix_ms.runtime.gradient import value_and_gradients, without_gradient
from protenix_ms.runtime.trace import trace
from protenix_ms.typing import Array, Float, Int


@runtime_checkable
class Example(Protocol):
    """The input of a step; `data.example.TrainingExample` is one."""

    features: Mapping[str, Array]
    labels: Mapping[str, Array]
    labels_full: Mapping[str, Array]
    permutations: Sequence[Int[Array, "_ _"]]


@dataclass(frozen=True)
class StepResult:
    """Loss, its terms without weights, and a gradient per trainable parameter, by name."""

    loss: float
    terms: dict[str, float]
    gradients: dict[str, Tensor] = field(repr=False)


def cycles_of_step(step: int, most: int) -> int:
    """Draw how many recycles a step makes, the same on every process (as upstream does)."""
    return int(np.random.RandomState(step).randint(1, most + 1))


def noise_levels(draws: Draws, count: int, config: ConfigDict) -> Float[Array, "b"]:
    """Draw log-normal training noise, angstrom (AF3 SI section 3.7.1); site ``noise_level``.

    Args:
        config: ``config.train_noise_sampler``.
    """
    normal = draws.normal("noise_level", (count,))
    log = normal * np.float32(config.p_std) + np.float32(config.p_mean)
    return np.exp(log) * np.float32(config.sigma_data)


def _fp32(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Cast to fp32, which the losses read whatever the modules computed in."""
    return ops.cast(x, float32)


class TrainingStep:
    """Computes losses and gradients of a model.

    Sites of random numbers: those of `Protenix.recycle` and of the sampler, ``anchor_chain``,
    ``label_rotation``, ``label_translation``, ``noise_level``, ``label_noise``.

    Without a mini-rollout (`sample_diffusion.N_step_mini_rollout` 0) labels keep their order and
    confidence is not learnt.

    Args:
        model: in training mode.
        config: from `protenix_ms.config.training`; with `train_confidence_only` nothing but the
            confidence head is differentiated, and nothing is dropped out.

    Raises:
        ConfigError: confidence alone is to be learnt, and there is no mini-rollout.
    """

    distances = staticmethod(point_distances)  # of pLDDT labels and for the confidence head

    def __init__(self, model: Protenix, config: ConfigDict) -> None:
        self.model, self.config = model, config
        self._rolls_out = model.config.sample_diffusion.N_step_mini_rollout > 0
        if config.train_confidence_only and not self._rolls_out:
            raise ConfigError("confidence is learnt from a mini-rollout, which has no steps",
                              where="sample_diffusion.N_step_mini_rollout",
                              fix="give it steps, upstream has 20")
        trained = model.confidence_head if config.train_confidence_only else model
        self.parameters = [p for p in trained.get_parameters() if p.requires_grad]
        self._dropout = "none" if config.train_confidence_only else "training"

    def __call__(self, example: Example, step: int, draws: Draws) -> StepResult:
        """Compute loss and gradients of one example.

        Args:
            step: number of the step, which decides how many recycles there are.

        Raises:
            NonFiniteError: the mini-rollout left the numbers.
        """
        job = ModelInputs(example.features)
        set_precision(self.model, job.positions.n_tokens, self.model.config.model_name)
        most = self.config.cycles or self.model.config.model.N_cycle
        cycles = cycles_of_step(step, most)
        before = self._recycled(job, cycles - 1, draws)

        def forward() -> tuple[Tensor, dict[str, Tensor]]:
            return self._loss(example, job, before, draws)

        loss, terms, gradients = value_and_gradients(forward, self.parameters)
        return StepResult(float(loss), {k: float(v) for k, v in terms.items()}, gradients)

    def _recycled(self, job: ModelInputs, cycles: int, draws: Draws) -> Trunk:
        """Run all recycles but the last; no gradient passes through them."""
        with without_gradient():
            start = self.model.initial(job)
            trunk = Trunk(start.s_inputs, ops.zeros_like(start.s), ops.zeros_like(start.z))
            for _ in range(cycles):
                trunk = self.model.recycle(job, start, trunk, draws, self._dropout)
        return trunk

    def _loss(
        self, example: Example, job: ModelInputs, before: Trunk, draws: Draws
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the part that is differentiated."""
        alone, confidence = self.config.train_confidence_only, None
        with without_gradient() if alone else nullcontext():
            trunk = self.model.recycle(job, self.model.initial(job), before, draws, self._dropout)
            conditioning = self.model.diffusion_module.prepare(job.atoms, job.positions, *trunk)
        labels = Labels.from_arrays(example.labels)  # in the order of the file
        if self._rolls_out:
            x = self.roll_out(conditioning, draws)
            labels = self._permuted(example, x, draws)
            confidence = self._confidence(example, trunk, x)
        denoised = None if alone else self._denoise(labels, conditioning, trunk, draws)
        terms = TrainingLoss(self.config, example.features, labels, self.distances)
        return terms(confidence, denoised)

    def roll_out(
        self, conditioning: Conditioning, draws: Draws
    ) -> Float[Array, "b a 3"]:
        """Sample in few steps without gradient: the structures that confidence is learnt from."""
        c = self.model.config.sample_diffusion
        with without_gradient():
            size = (c.N_step_mini_rollout, c.N_sample_mini_rollout)
            x = self.model.roll_out(conditioning, draws, size)
        trace("pred/coordinate_mini", x)
        return x

    def _permuted(self, example: Example, x: Float[Array, "b a 3"], draws: Draws) -> Labels:
        """Put the labels in the order that fits the mini-rollout best."""
        labels = permute_labels(x[0], example.features, (example.labels, example.labels_full),
                                example.permutations, draws)
        trace("label/coordinate", labels.x)
        trace("label/coordinate_mask", labels.resolved)
        return labels

    def _confidence(
        self, example: Example, trunk: Trunk, x: Float[Array, "b a 3"]
    ) -> Confidence:
        """Run the confidence head on the mini-rollout."""
        head, job = self.model.confidence_head, ConfidenceFeatures.from_features(example.features)
        s, z = head.embed(*trunk)
        logits = []
        for sample in x:
            points = sample[job.representative]
            d = self.distances(points, points)
            logits.append(head.logits(job, *head.pairformer_stack(s, head.add_distances(z, d))))
        stacked = ConfidenceLogits(*(_fp32(ops.stack(values)) for values in zip(*logits)))
        for name, value in stacked._asdict().items():
            trace(f"pred/{name}", value)
        return Confidence(x, **stacked._asdict())

    def _denoise(
        self, labels: Labels, conditioning: Conditioning, trunk: Trunk, draws: Draws
    ) -> Denoised:
        """Denoise noisy copies of the known structure, some samples at a time."""
        count, size = self.config.diffusion_batch_size, self.config.diffusion_chunk_size
        turned = centre_random_augmentation(
            np.repeat(labels.x[None], count, 0),
            draws.rotations("label_rotation", count),
            draws.normal("label_translation", (count, 3)),
            labels.resolved.astype(np.float32),
        ).astype(np.float32)
        level = noise_levels(draws, count, self.config.train_noise_sampler)
        noisy = turned + draws.normal("label_noise", turned.shape) * level[:, None, None]
        parts = [
            self.model.diffusion_module(
                Tensor.from_numpy(np.ascontiguousarray(noisy[i : i + size])),
                level[i : i + size], conditioning,
            )
            for i in range(0, count, size)
        ]
        x = _fp32(parts[0] if len(parts) == 1 else ops.concat(parts, 0))
        distogram = _fp32(self.model.distogram_head(trunk.z))
        trace("pred/coordinate", x)
        trace("pred/distogram", distogram)
        return Denoised(x, level, distogram)
