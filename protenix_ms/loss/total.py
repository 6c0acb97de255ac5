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
    """Logits of the confidence head for the mini-rollout `x` (angstrom)."""

    x: Float[Array, "b a 3"]
    plddt: Float[Tensor, "b a 50"]
    pae: Float[Tensor, "b n n 64"]
    pde: Float[Tensor, "b n n 64"]
    resolved: Float[Tensor, "b a 2"]


@dataclass(frozen=True)
class Denoised:
    """Denoised samples (angstrom), their noise levels (angstrom), and distogram logits."""

    x: Float[Tensor, "b a 3"]
    noise_level: Float[Array, "b"]
    distogram: Float[Tensor, "n n 64"]


def term_weights(c: ConfigDict) -> dict[str, float]:
    """Compute the weight of every term from ``config.loss.weight``."""
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
        measure: computes distances for pLDDT, see `binned.atom_lddt`.
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
        self.roles = AtomRoles.from_features(features)
        self.weights = term_weights(config.loss.weight)
        low, high = config.loss.resolution.min, config.loss.resolution.max
        # In upstream's data, entries without a resolution have -1.
        self.judges_confidence = low <= float(np.squeeze(features["resolution"])) <= high

    def _confidence(self, c: Confidence) -> dict[str, Callable[[], Tensor]]:
        labels, roles = self.labels, self.roles
        return {
            "plddt": lambda: binned.plddt_loss(c.plddt, c.x, labels, roles, self.measure),
            "pde": lambda: binned.pde_loss(c.pde, c.x, labels, roles),
            "resolved": lambda: binned.resolved_loss(c.resolved, labels),
            "pae": lambda: binned.pae_loss(c.pae, c.x, labels, roles),
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
        """Compute the weighted sum of the terms, and every term without its weight.

        The terms of confidence are left out for entries whose resolution is unknown or outside
        the configured range.

        Args:
            confidence: None without a mini-rollout.
            denoised: None when only confidence is trained.
        """
        terms = self._diffusion(denoised) if denoised is not None else {}
        if self.judges_confidence and confidence is not None:
            terms.update(self._confidence(confidence))
        values = {name: term() for name, term in terms.items()}
        if not values:  # a loss of 0 that still has gradients, all of them 0
            return ops.sum(confidence.plddt) * 0.0, values
        return sum(self.weights[name] * value for name, value in values.items()), values
