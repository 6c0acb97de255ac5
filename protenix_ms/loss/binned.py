# SPDX-License-Identifier: Apache-2.0
"""Cross entropies of binned predictions: distogram, pLDDT, PDE, PAE, and resolved atoms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from mindspore import Tensor, ops

from protenix_ms.geometry.bins import PAE, PDE, PLDDT, Bins
from protenix_ms.loss.labels import AtomRoles, Labels
from protenix_ms.loss.smooth_lddt import NUCLEOTIDE_RADIUS, RADIUS, THRESHOLDS
from protenix_ms.typing import Array, Bool, Float, Int

DISTOGRAM_FIRST, DISTOGRAM_LAST = 2.3125, 21.6875  # angstrom; inner edges of its 64 bins
EPSILON = 1e-6  # added to counts
SMALLEST_NORM = 1e-8  # of a vector that is made a unit vector


def edges(low: float, high: float, count: int) -> Float[Array, "k"]:
    """`count` equally spaced numbers in float32, each rounded as PyTorch's `linspace` rounds it.

    From both ends towards the middle, with fused multiply-adds. Scores are often exactly on an
    edge.
    """
    step = np.float64(np.float32((high - low) / (count - 1)))
    i = np.arange(count)
    return np.where(i < count // 2, low + step * i, high - step * i[::-1]).astype(np.float32)


def bin_of(
    x: Float[Array, "*shape"], bins: Bins, edge: Float[Array, "k"] | None = None
) -> Int[Array, "*shape"]:
    """Bin of each number; those outside belong to the first and the last.

    Args:
        edge: the edges if they are not `bins`' own, e.g. squared.
    """
    edge = edges(bins.low, bins.high, bins.count + 1) if edge is None else edge
    above = np.searchsorted(edge, x, side="left")  # how many edges lie below
    return (np.clip(above, 1, bins.count) - 1).astype(np.int32)


def cross_entropy(
    logits: Float[Tensor, "*shape k"], bins: Int[Array, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Minus the logarithm of the probability of each bin."""
    flat = ops.log_softmax(ops.reshape(logits, (-1, logits.shape[-1])), -1)
    chosen = ops.gather_elements(flat, 1, Tensor.from_numpy(bins.reshape(-1, 1)))
    return -ops.reshape(chosen, bins.shape)


def masked_mean(
    loss: Float[Tensor, "b *shape"], mask: Bool[Array, "*shape"]
) -> Float[Tensor, ""]:
    """Mean over samples of the mean over what `mask` selects."""
    weight = mask.astype(np.float32) / np.float32((mask.sum() + EPSILON) * loss.shape[0])
    return ops.sum(loss * Tensor.from_numpy(weight.astype(np.float32)))


Distances = Callable[[Float[Array, "a 3"], Float[Array, "m 3"]], Float[Array, "a m"]]


def distances(x: Float[Array, "a 3"], y: Float[Array, "m 3"]) -> Float[Array, "a m"]:
    """Distances from differences, float32."""
    squared = np.zeros((len(x), len(y)), np.float32)
    for k in range(3):
        squared += np.square(x[:, None, k] - y[None, :, k])
    return np.sqrt(squared)


def distogram_loss(
    logits: Float[Tensor, "n n k"], labels: Labels, roles: AtomRoles
) -> Float[Tensor, ""]:
    """AF3 SI section 4.4: distances between representative atoms."""
    edge = edges(DISTOGRAM_FIRST, DISTOGRAM_LAST, logits.shape[-1] - 1)
    x, known = labels.x[roles.distogram], labels.resolved[roles.distogram]
    bins = np.searchsorted(edge, distances(x, x), side="left").astype(np.int32)
    mask = known[:, None] & known[None]
    return masked_mean(ops.expand_dims(cross_entropy(logits, bins), 0), mask)


def pde_loss(
    logits: Float[Tensor, "b n n k"],
    x: Float[Array, "b a 3"],
    labels: Labels,
    roles: AtomRoles,
) -> Float[Tensor, ""]:
    """AF3 SI section 4.3.3: error of the distance between representative atoms.

    Args:
        x: the coordinates that were judged, angstrom.
    """
    known, chosen = labels.resolved[roles.distogram], labels.x[roles.distogram]
    true = distances(chosen, chosen)
    rolled = [distances(s, s) for s in x[:, roles.distogram]]
    bins = np.stack([bin_of(np.abs(d - true), PDE) for d in rolled])
    return masked_mean(cross_entropy(logits, bins), known[:, None] & known[None])


def _unit(x: Float[Array, "f 3"]) -> Float[Array, "f 3"]:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), SMALLEST_NORM)


def in_frames(
    x: Float[Array, "n 3"], frames: Float[Array, "f 3 3"]
) -> Float[Array, "f n 3"]:
    """Points in the frames of three atoms each (AF3 Algorithm 29), angstrom."""
    a, b, c = frames[:, 0], frames[:, 1], frames[:, 2]
    w1, w2 = _unit(a - b), _unit(c - b)
    e1, e2 = _unit(w1 + w2), _unit(w2 - w1)
    axes = np.stack([e1, e2, np.cross(e1, e2)], 1)
    return np.einsum("fnx,fkx->fnk", x[None] - b[:, None], axes)


def pae_loss(
    logits: Float[Tensor, "b n n k"],
    x: Float[Array, "b a 3"],
    labels: Labels,
    roles: AtomRoles,
) -> Float[Tensor, ""]:
    """AF3 SI section 4.3.2 and Algorithm 30: error of a token seen from another token's frame.

    Rows are the tokens that have a frame.

    Args:
        x: the coordinates that were judged, angstrom.
    """
    frames = roles.frames[roles.has_frame]
    framed = labels.resolved[frames].all(1)
    mask = framed[:, None] & labels.resolved[roles.pae][None]
    true = in_frames(labels.x[roles.pae], labels.x[frames])
    edge = edges(PAE.low, PAE.high, PAE.count + 1) ** 2
    bins = []
    for sample in x:
        squared = np.square(in_frames(sample[roles.pae], sample[frames]) - true).sum(-1)
        bins.append(bin_of(squared, PAE, edge))
    rows = Tensor.from_numpy(np.flatnonzero(roles.has_frame).astype(np.int32))
    return masked_mean(cross_entropy(ops.gather(logits, rows, 1), np.stack(bins)), mask)


def atom_lddt(
    x: Float[Array, "a 3"], labels: Labels, roles: AtomRoles, measure: Distances = distances
) -> Float[Array, "r"]:
    """lDDT of each known atom against known polymer atoms that stand for tokens, 0 to 1.

    AF3 SI section 4.3.1, but normalised; the radius follows the other atom's kind.

    Args:
        measure: gives distances; upstream's are inexact (trap H28), and a replay uses those.
    """
    known = np.flatnonzero(labels.resolved)
    other = known[(roles.plddt & ~roles.is_ligand)[known]]
    true = measure(labels.x[known], labels.x[other])
    error = np.abs(measure(x[known], x[other]) - true)
    radius = np.where(roles.is_nucleotide[other], NUCLEOTIDE_RADIUS, RADIUS)
    pairs = (true < radius) & (known[:, None] != other[None])
    kept = sum((error < t).astype(np.float32) for t in THRESHOLDS) / len(THRESHOLDS)
    count = pairs.sum(1, dtype=np.float32)
    return (kept * pairs).sum(1, dtype=np.float32) / (count + np.float32(EPSILON))


def plddt_loss(
    logits: Float[Tensor, "b a k"],
    x: Float[Array, "b a 3"],
    labels: Labels,
    roles: AtomRoles,
    measure: Distances = distances,
) -> Float[Tensor, ""]:
    """AF3 SI section 4.3.1: lDDT of each known atom.

    Args:
        x: the coordinates that were judged, angstrom.
        measure: as of `atom_lddt`.
    """
    known = Tensor.from_numpy(np.flatnonzero(labels.resolved).astype(np.int32))
    bins = np.stack([bin_of(atom_lddt(s, labels, roles, measure), PLDDT) for s in x])
    return ops.mean(cross_entropy(ops.gather(logits, known, 1), bins))


def resolved_loss(logits: Float[Tensor, "b a 2"], labels: Labels) -> Float[Tensor, ""]:
    """AF3 SI section 4.3.4: whether an atom is resolved in the experiment."""
    known = np.broadcast_to(labels.resolved.astype(np.int32), logits.shape[:2])
    return ops.mean(cross_entropy(logits, np.ascontiguousarray(known)))
