# SPDX-License-Identifier: Apache-2.0
"""Losses on denoised coordinates: squared error after alignment, and bond lengths.

Both are scaled per sample by its noise level, so that every level weighs about the same.
"""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, ops
from ml_collections import ConfigDict

from protenix_ms.errors import NonFiniteError
from protenix_ms.geometry.rigid import superpose
from protenix_ms.loss.labels import AtomRoles, Labels
from protenix_ms.typing import Array, Float

EPSILON = 1e-6  # added to the number of atoms
DIMENSIONS = 3
SMALLEST = 1e-12  # angstrom^2; keeps the direction between equal points finite


def noise_scale(noise_level: Float[Array, "b"], sigma_data: float) -> Float[Array, "b"]:
    """Compute ``(t^2 + sigma^2) / (t sigma)^2`` (AF3 SI equation 6), levels in angstrom."""
    level = noise_level.astype(np.float32)
    return (level**2 + np.float32(sigma_data) ** 2) / (np.float32(sigma_data) * level) ** 2


def atom_weights(roles: AtomRoles, labels: Labels, config: ConfigDict) -> Float[Array, "a"]:
    """Weigh nucleic acids and ligands more, and unknown atoms not at all (AF3 SI equation 4).

    Args:
        config: ``config.loss.diffusion.mse``.
    """
    weight = (1 + config.weight_dna * roles.is_dna + config.weight_rna * roles.is_rna
              + config.weight_ligand * roles.is_ligand)
    return (weight * labels.resolved).astype(np.float32)


def aligned_labels(
    x: Float[Array, "b a 3"], labels: Labels, weight: Float[Array, "a"]
) -> Float[Array, "b a 3"]:
    """Lay the known structure on each sample (AF3 Algorithm 28); no gradient passes.

    This is done in float64 on the host: the samples are small beside the network that made them,
    and a singular value decomposition of 3 x 3 is slow on an accelerator.

    Raises:
        NonFiniteError: a sample is not finite.
    """
    if not np.isfinite(x).all():
        raise NonFiniteError("denoised coordinates are not finite", where="loss")
    known = labels.x * labels.resolved[:, None]
    if not labels.resolved.any():
        return np.zeros_like(x)
    return np.stack([superpose(known, sample, weight) for sample in x]).astype(np.float32)


def mse_loss(
    x: Float[Tensor, "b a 3"],
    labels: Labels,
    weight: Float[Array, "a"],
    scale: Float[Array, "b"],
) -> Float[Tensor, ""]:
    """Average the weighted squared error after alignment over samples (AF3 SI equations 3, 4).

    Args:
        x: denoised coordinates, angstrom.
        weight: from `atom_weights`.
        scale: from `noise_scale`.
    """
    target = aligned_labels(ops.stop_gradient(x).asnumpy(), labels, weight)
    squared = ops.sum(ops.square(x - Tensor.from_numpy(target)), -1)
    per_sample = ops.sum(squared * Tensor.from_numpy(weight), -1)
    share = scale / np.float32(labels.resolved.sum() + EPSILON)
    return ops.sum(per_sample * Tensor.from_numpy(share.astype(np.float32))) / (
        DIMENSIONS * x.shape[0]
    )


def bond_loss(
    x: Float[Tensor, "b a 3"], labels: Labels, roles: AtomRoles, scale: Float[Array, "b"]
) -> Float[Tensor, ""]:
    """Average the squared errors of polymer-ligand bond lengths, angstrom^2 (AF3 SI equation 5).

    The loss is zero without such bonds between known atoms.
    """
    known = labels.resolved[roles.bonds].all(1)
    i, j = roles.bonds[known].T.astype(np.int32)
    if not len(i):
        return ops.sum(x) * 0.0
    true = np.linalg.norm(labels.x[i] - labels.x[j], axis=-1).astype(np.float32)
    apart = ops.gather(x, Tensor.from_numpy(i), 1) - ops.gather(x, Tensor.from_numpy(j), 1)
    length = ops.sqrt(ops.sum(ops.square(apart), -1) + SMALLEST)
    per_sample = ops.mean(ops.square(length - Tensor.from_numpy(true)), -1)
    return ops.mean(per_sample * Tensor.from_numpy(scale.astype(np.float32)))
