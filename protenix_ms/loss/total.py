# SPDX-License-Identifier: Apache-2.0
"""The training loss: every term with its weight (AF3 SI equation 15)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from mindspore import Tensor, ops
from ml_collections import ConfigDict

from protenix_ms.geometry.distances import Measure, point_distances
from protenix_ms.loss import binned
from protenix_ms.loss.coordinates import atom_weights, bond_loss, mse_loss, noise_scale
from protenix_ms.loss.labels import AtomRoles, Labels
from protenix_ms.loss.smooth_lddt import Neighbours, smooth_lddt_loss
from protenix_ms.typing import Array, Float

CONFIDENCE = ("plddt", "pde", "resolved", "pae")
DIFFUSION = ("smooth_lddt", "bond", "mse")


@dataclass(frozen=True)
class Confidence:
    """Logits of the confidence head about the mini-rollout `x` (angstrom)."""

    x: Float[Array, "b a 3"]
    plddt: Float[Tensor, "b a 50"]
    pae: Float[Tensor, "b n n 64"]
    pde: Float[Tensor, "b n n 64"]
    resolved: Float[Tensor, "b a 2"]


@dataclass(frozen=True)
class Denoised:
    """Denoised samples (angstrom), the noise they had (angstrom), and distogram logits."""

    x: Float[Tensor, "b a 3"]
    noise_level: Float[Array, "b"]
    distogram: Float[Tensor, "n n 64"]


def weights(config: ConfigDict) -> dict[str, float]:
    """Weight of every term. `config`: ``config.loss.weight``."""
    c = config
    confidence = c.alpha_confidence * c.alpha_except_pae
    return {
        "smooth_lddt": c.alpha_diffusion * c.smooth_lddt,
        "bond": c.alpha_diffusion * c.alpha_bond,
        "mse": c.alpha_diffusion,
        "distogram": c.alpha_distogram,
        "plddt": confidence, "pde": confidence, "resolved": confidence,
        "pae": c.alpha_confidence * c.alpha_pae,
    }


class TrainingLoss:
    """All terms of one training example.

    Args:
        config: from `protenix_ms.config.training`.
        features: input arrays of the example.
        labels: its known structure, after permutation.
        measure: distances for pLDDT, as of `binned.atom_lddt`.
    """

    def __init__(
        self,
        config: ConfigDict,
        features: Mapping[str, Array],
        labels: Labels,
        measure: Measure = point_distances,
    ) -> None:
        self.measure = measure
        self.config, self.labels = config, labels
        self.roles = AtomRoles.of(features)
        self.weights = weights(config.loss.weight)
        low, high = config.loss.resolution.min, config.loss.resolution.max
        # In upstream's data, entries without a resolution have -1.
        self.judges_confidence = low <= float(np.squeeze(features["resolution"])) <= high

    def _confidence(self, c: Confidence) -> dict[str, Callable[[], Tensor]]:
        given = (c.x, self.labels, self.roles)
        return {
            "plddt": lambda: binned.plddt_loss(c.plddt, *given, self.measure),
            "pde": lambda: binned.pde_loss(c.pde, *given),
            "resolved": lambda: binned.resolved_loss(c.resolved, self.labels),
            "pae": lambda: binned.pae_loss(c.pae, *given),
        }

    def _diffusion(self, d: Denoised) -> dict[str, Callable[[], Tensor]]:
        labels, roles = self.labels, self.roles
        scale = noise_scale(d.noise_level, self.config.train_noise_sampler.sigma_data)
        weight = atom_weights(roles, labels, self.config.loss.diffusion.mse)
        near = Neighbours.from_labels(labels, roles)
        return {
            "smooth_lddt": lambda: smooth_lddt_loss(d.x, near),
            "bond": lambda: bond_loss(d.x, labels, roles, scale),
            "mse": lambda: mse_loss(d.x, labels, weight, scale),
            "distogram": lambda: binned.distogram_loss(d.distogram, labels, roles),
        }

    def __call__(
        self, confidence: Confidence | None, denoised: Denoised | None
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The weighted sum, and every term without its weight.

        Args:
            confidence: what the confidence head says of the mini-rollout, None without one.
            denoised: None when only confidence is trained.
        """
        terms = self._diffusion(denoised) if denoised is not None else {}
        if self.judges_confidence and confidence is not None:
            terms.update(self._confidence(confidence))
        found = {name: term() for name, term in terms.items()}
        if not found:  # nothing to learn from: a loss that is 0, with gradients that are
            return ops.sum(confidence.plddt) * 0.0, found
        return sum(self.weights[name] * value for name, value in found.items()), found
