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
    meet in ``J J^T``, so each part of the job is a dense system of its own; those of like size are
    solved together. A constraint that holds is a row of zeros, which nothing depends on.
    """
    move = np.zeros((len(excess), groups.n_atoms + 1, 3))
    for block in groups.blocks:
        meant = np.arange(block.group.shape[1]) < block.size[:, None]
        wrong = broken[:, block.group] & meant
        sample, part = np.nonzero(wrong.any(axis=2))
        if not len(sample):
            continue
        wrong = wrong[sample, part]
        column = np.flatnonzero(wrong.any(axis=0))
        wrong, chosen = wrong[:, column], block.group[part][:, column]
        jacobian = np.zeros((*chosen.shape, block.atoms.shape[1], 3))
        system, row = np.ogrid[:chosen.shape[0], :chosen.shape[1]]
        for k, values in enumerate(np.moveaxis(derivative, 1, 0)):
            place = block.place[part[:, None], column, k]
            jacobian[system, row, place] = values[sample[:, None], chosen] * wrong[..., None]
        flat = jacobian.reshape(*chosen.shape, -1)
        gram = flat @ np.swapaxes(flat, 1, 2)
        gram[:, row[0], row[0]] += _RIDGE
        wanted = excess[sample[:, None], chosen] * wrong
        factor = np.linalg.solve(gram, wanted[..., None])
        step = np.swapaxes(flat, 1, 2) @ factor
        move[sample[:, None], block.atoms[part]] = -step.reshape(len(sample), -1, 3)
    return move[:, :-1]


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
