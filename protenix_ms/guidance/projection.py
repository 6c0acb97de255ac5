# SPDX-License-Identifier: Apache-2.0
"""Projection: the smallest moves that satisfy chirality, angles and bonds to first order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from protenix_ms.guidance import internal
from protenix_ms.guidance.lists import GeometryLists, Groups
from protenix_ms.guidance.potentials import Parameters, distance_bounds
from protenix_ms.typing import Array, Bool, Float

_RIDGE = 1e-8  # all that holds the constraints of a rigid ligand, more than its freedom
_SMALLEST = 1e-12  # squared radius of gyration

Projection = Callable[[Float[Array, "s a 3"], GeometryLists, Parameters], Float[Array, "s a 3"]]


def solve(
    groups: Groups, excess: Float[Array, "s m"], derivative: Float[Array, "s k m 3"],
    broken: Bool[Array, "s m"],
) -> Float[Array, "s a 3"]:
    """Find moves that undo the excess of broken constraints, to first order and smallest.

    ``dx = -J^T (J J^T + 1e-8)^-1 excess`` for every sample. Constraints that share no atom do not
    meet in ``J J^T``, so each part of the job is a dense system of its own.
    """
    move = np.zeros((len(excess), groups.n_atoms, 3))
    for part in groups.parts:
        for sample in np.flatnonzero(broken[:, part].any(axis=1)):
            chosen = part[broken[sample, part]]
            atoms, place = np.unique(groups.index[:, chosen], return_inverse=True)
            place = place.reshape(len(groups.index), -1)
            jacobian = np.zeros((len(chosen), len(atoms), 3))
            row = np.arange(len(chosen))
            for k, columns in enumerate(place):
                jacobian[row, columns] += derivative[sample, k, chosen]
            flat = jacobian.reshape(len(chosen), -1)
            gram = flat @ flat.T
            gram[np.diag_indices_from(gram)] += _RIDGE
            step = flat.T @ np.linalg.solve(gram, excess[sample, chosen])
            move[sample, atoms] = -step.reshape(-1, 3)
    return move


def project_chirality(
    x: Float[Array, "s a 3"], lists: GeometryLists, parameters: Parameters
) -> Float[Array, "s a 3"]:
    """Turn centres of the wrong hand.

    With `scale_x` all atoms of the list are scaled afterwards about their mean, chain by chain,
    to their radius of gyration before; so centres that were right move too. Upstream decides for
    all samples at once whether there is anything to do, which changes nothing but rounding: a
    sample without a wrong centre keeps its size.
    """
    groups, sign = lists.groups["chiral"], lists.values["chiral_orientation"]
    value, derivative = internal.dihedral(groups.positions(x))
    excess = value * sign - parameters["buffer"]
    broken = excess < 0
    move = solve(groups, excess, derivative * sign[:, None], broken)
    if parameters["scale_x"]:
        rows = np.unique(groups.index)
        chains = [rows[lists.chain[rows] == c] for c in np.unique(lists.chain[rows])]
        for sample in np.flatnonzero(broken.any(axis=1)):
            for atoms in chains:
                move[sample, atoms] = _resized(x[sample, atoms], move[sample, atoms])
    return move


def _resized(x: Float[Array, "a 3"], move: Float[Array, "a 3"]) -> Float[Array, "a 3"]:
    """Change a move so that mean and radius of gyration stay."""
    centre, after = x.mean(axis=0), (x + move).mean(axis=0)
    spread = ((x - centre) ** 2).sum(axis=-1).mean()
    wider = max(((x + move - after) ** 2).sum(axis=-1).mean(), _SMALLEST)
    resized: Array = (x + move - after) * (spread / wider) ** 0.5 + centre - x
    return resized


def project_distances(
    x: Float[Array, "s a 3"], lists: GeometryLists, parameters: Parameters
) -> Float[Array, "s a 3"]:
    """Put angles (distances of second neighbours) and then bonds within their bounds."""
    bounds = distance_bounds(lists, parameters)
    move = np.zeros_like(x)
    for groups, rows in lists.projected:
        lower, upper = (bound[rows] for bound in bounds)
        value, derivative = internal.distance(groups.positions(x + move))
        low, high = value < lower, value > upper
        excess = value - np.where(low, lower, upper)
        move = move + solve(groups, excess, derivative, low | high)
    return move


PROJECTIONS: dict[str, Projection] = {  # in the order of a round
    "ChiralAtomPotential": project_chirality,
    "PairwiseDistancePotential": project_distances,
}
