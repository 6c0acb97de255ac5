# SPDX-License-Identifier: Apache-2.0
"""Cross entropies of binned predictions: distogram, pLDDT, PDE, PAE, and resolved atoms."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, ops

from protenix_ms.geometry.bins import (
    DISTOGRAM_FIRST,
    DISTOGRAM_LAST,
    PAE,
    PDE,
    PLDDT,
    find_bins,
    linspace,
)
from protenix_ms.geometry.distances import (
    LDDT_NUCLEOTIDE_RADIUS,
    LDDT_RADIUS,
    Measure,
    compare_distances,
    point_distances,
)
from protenix_ms.geometry.rigid import express_in_frames
from protenix_ms.loss.labels import AtomRoles, Labels
from protenix_ms.typing import Array, Bool, Float, Int

EPSILON = 1e-6  # added to counts


def cross_entropy(
    logits: Float[Tensor, "*shape k"], bins: Int[Array, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Compute minus the logarithm of the probability of each bin."""
    flat = ops.log_softmax(ops.reshape(logits, (-1, logits.shape[-1])), -1)
    chosen = ops.gather_elements(flat, 1, Tensor.from_numpy(bins.reshape(-1, 1)))
    return -ops.reshape(chosen, bins.shape)


def masked_mean(
    loss: Float[Tensor, "b *shape"], mask: Bool[Array, "*shape"]
) -> Float[Tensor, ""]:
    """Average over samples, and within each over what `mask` selects."""
    weight = mask.astype(np.float32) / np.float32((mask.sum() + EPSILON) * loss.shape[0])
    return ops.sum(loss * Tensor.from_numpy(weight.astype(np.float32)))


def distogram_loss(
    logits: Float[Tensor, "n n k"], labels: Labels, roles: AtomRoles
) -> Float[Tensor, ""]:
    """Score the predicted distances between representative atoms (AF3 SI section 4.4)."""
    inner_edges = linspace(DISTOGRAM_FIRST, DISTOGRAM_LAST, logits.shape[-1] - 1)
    x, known = labels.x[roles.distogram], labels.resolved[roles.distogram]
    bins = np.searchsorted(inner_edges, point_distances(x, x), side="left").astype(np.int32)
    mask = known[:, None] & known[None]
    return masked_mean(ops.expand_dims(cross_entropy(logits, bins), 0), mask)


def pde_loss(
    logits: Float[Tensor, "b n n k"],
    x: Float[Array, "b a 3"],
    labels: Labels,
    roles: AtomRoles,
) -> Float[Tensor, ""]:
    """Score the predicted errors of distances between representative atoms (AF3 SI 4.3.3).

    Args:
        x: the coordinates whose errors are predicted, angstrom.
    """
    known, chosen = labels.resolved[roles.distogram], labels.x[roles.distogram]
    true = point_distances(chosen, chosen)
    errors = [np.abs(point_distances(s, s) - true) for s in x[:, roles.distogram]]
    bins = find_bins(np.stack(errors), PDE.edges())
    return masked_mean(cross_entropy(logits, bins), known[:, None] & known[None])


def pae_loss(
    logits: Float[Tensor, "b n n k"],
    x: Float[Array, "b a 3"],
    labels: Labels,
    roles: AtomRoles,
) -> Float[Tensor, ""]:
    """Score the predicted errors of tokens seen from other tokens' frames (AF3 Algorithm 30).

    Rows are the tokens that have a frame (AF3 SI section 4.3.2).

    Args:
        x: the coordinates whose errors are predicted, angstrom.
    """
    frames = roles.frames[roles.has_frame]
    framed = labels.resolved[frames].all(1)
    mask = framed[:, None] & labels.resolved[roles.pae][None]
    true = express_in_frames(labels.x[roles.pae], labels.x[frames])
    bins = []
    for sample in x:
        error = express_in_frames(sample[roles.pae], sample[frames]) - true
        bins.append(find_bins(np.square(error).sum(-1), PAE.edges() ** 2))
    rows = Tensor.from_numpy(np.flatnonzero(roles.has_frame).astype(np.int32))
    return masked_mean(cross_entropy(ops.gather(logits, rows, 1), np.stack(bins)), mask)


def atom_lddt(
    x: Float[Array, "a 3"], labels: Labels, roles: AtomRoles, measure: Measure = point_distances
) -> Float[Array, "r"]:
    """Compute the lDDT of each known atom against known polymer atoms that stand for tokens, 0-1.

    AF3 SI section 4.3.1, but normalised; the radius follows the other atom's kind.

    Args:
        measure: computes distances; upstream's are inexact, and a replay gives those.
    """
    known = np.flatnonzero(labels.resolved)
    other = known[(roles.plddt & ~roles.is_ligand)[known]]
    radius = np.where(roles.is_nucleotide[other], LDDT_NUCLEOTIDE_RADIUS, LDDT_RADIUS)
    share, near = compare_distances(
        (x[known], x[other]), (labels.x[known], labels.x[other]), radius[None], measure)
    near &= known[:, None] != other
    count = near.sum(1, dtype=np.float32)
    return (share * near).sum(1, dtype=np.float32) / (count + np.float32(EPSILON))


def plddt_loss(
    logits: Float[Tensor, "b a k"],
    x: Float[Array, "b a 3"],
    labels: Labels,
    roles: AtomRoles,
    measure: Measure = point_distances,
) -> Float[Tensor, ""]:
    """Score the predicted lDDT of each known atom (AF3 SI section 4.3.1).

    Args:
        x: the coordinates whose lDDT is predicted, angstrom.
        measure: as of `atom_lddt`.
    """
    known = Tensor.from_numpy(np.flatnonzero(labels.resolved).astype(np.int32))
    lddt = np.stack([atom_lddt(sample, labels, roles, measure) for sample in x])
    bins = find_bins(lddt, PLDDT.edges())
    return ops.mean(cross_entropy(ops.gather(logits, known, 1), bins))


def resolved_loss(logits: Float[Tensor, "b a 2"], labels: Labels) -> Float[Tensor, ""]:
    """Score the prediction whether an atom is resolved in the experiment (AF3 SI 4.3.4)."""
    known = np.broadcast_to(labels.resolved.astype(np.int32), logits.shape[:2])
    return ops.mean(cross_entropy(logits, np.ascontiguousarray(known)))
