# SPDX-License-Identifier: Apache-2.0
"""The eight potentials: energies of samples and their gradients (upstream `protenix.tfg`).

A potential is a function of coordinates ``[s, a, 3]`` in angstrom (float64), the job's lists and
its parameters. It returns energies ``[s]`` and gradients dE/dx ``[s, a, 3]``, without its weight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from protenix_ms.guidance import internal
from protenix_ms.guidance.lists import Bounds, GeometryLists, Groups
from protenix_ms.typing import Array, Float

Parameters = Mapping[str, float]


class Evaluation(NamedTuple):
    """Energies of samples and their gradients."""

    energy: Float[Array, "s"]
    gradient: Float[Array, "s a 3"]


Potential = Callable[[Float[Array, "s a 3"], GeometryLists, Parameters], Evaluation]


def interchain_bond(
    x: Float[Array, "s a 3"], lists: GeometryLists, parameters: Parameters
) -> Evaluation:
    """Hold bonds between chains below `buffer` angstrom."""
    groups = lists.groups["interchain_bond"]
    return _held(x, groups, internal.distance, _linear, -np.inf, parameters["buffer"])


def distance_bounds(lists: GeometryLists, parameters: Parameters) -> Bounds:
    """Widen RDKit's bounds by the buffers and cap them by van der Waals radii.

    Returns:
        lower, upper: angstrom; pairs that are neither bond nor angle have no upper bound.
    """
    buffers = tuple(parameters[f"{k}_buffer"] for k in ("bond", "angle", "clash"))
    if buffers not in lists.bounds:
        lists.bounds.clear()  # a schedule changes them in every step
        lists.bounds[buffers] = _distance_bounds(lists, *buffers)
    return lists.bounds[buffers]


def _distance_bounds(lists: GeometryLists, bond: float, angle: float, clash: float) -> Bounds:
    both = min(bond, angle)
    values = lists.values
    bonded = values["pairwise_distance_is_bond"].astype(np.int64)
    state = bonded + 2 * values["pairwise_distance_is_angle"].astype(np.int64)
    lower = values["pairwise_distance_lower_bound"] * (1 - np.array([clash, bond, angle, both]))[
        state]
    upper = values["pairwise_distance_upper_bound"] * (1 + np.array([0.0, bond, angle, both]))[
        state]
    upper = np.where(state == 0, np.inf, upper)
    first, second = lists.groups["pairwise_distance"].index
    # in the radii's precision and only then widened, as upstream: the projection magnifies it
    number = lists.radius.dtype.type
    contact = number(0.35) + number(0.5) * (lists.radius[first] + lists.radius[second])
    contact = contact.astype(np.float64)
    lower = np.where(bonded == 1, lower, np.maximum(lower, contact))
    return lower, np.where(bonded == 1, np.minimum(upper, contact), upper)


def pairwise_distance(
    x: Float[Array, "s a 3"], lists: GeometryLists, parameters: Parameters
) -> Evaluation:
    """Hold distances inside a ligand or modified residue within bounds."""
    groups = lists.groups["pairwise_distance"]
    return _held(x, groups, internal.distance, _parabolic, *distance_bounds(lists, parameters))


def stereo_bond(
    x: Float[Array, "s a 3"], lists: GeometryLists, parameters: Parameters
) -> Evaluation:
    """Hold double bonds cis or trans, within `buffer` radians."""
    trans = lists.values["stereo_bond_orientation"] > 0.5
    lower = np.where(trans, np.pi - parameters["buffer"], -np.inf)
    upper = np.where(trans, np.inf, parameters["buffer"])
    groups = lists.groups["stereo_bond"]
    return _held(x, groups, internal.absolute_dihedral, _linear, lower, upper)


def chiral_atom(
    x: Float[Array, "s a 3"], lists: GeometryLists, parameters: Parameters
) -> Evaluation:
    """Hold the handedness of centres: a dihedral of its sign, at least `buffer` radians."""
    positive = lists.values["chiral_orientation"] > 0
    lower = np.where(positive, parameters["buffer"], -np.inf)
    upper = np.where(positive, np.inf, -parameters["buffer"])
    return _held(x, lists.groups["chiral"], internal.dihedral, _linear, lower, upper)


def planar_improper(
    x: Float[Array, "s a 3"], lists: GeometryLists, parameters: Parameters
) -> Evaluation:
    """Draw sp2 centres into the plane of their three neighbours; there is no buffer."""
    groups = lists.groups["planar_improper"]
    value, derivative = internal.out_of_plane(groups.positions(x))
    return Evaluation(value.sum(axis=-1), groups.scatter(derivative))


def linear_bond(
    x: Float[Array, "s a 3"], lists: GeometryLists, parameters: Parameters
) -> Evaluation:
    """Hold angles at triple bonds above pi - `buffer` radians."""
    groups = lists.groups["linear_triple_bond"]
    return _held(x, groups, internal.angle, _linear, np.pi - parameters["buffer"], np.inf)


def experimental_torsion(
    x: Float[Array, "s a 3"], lists: GeometryLists, parameters: Parameters
) -> Evaluation:
    """Sum RDKit's torsion preferences, ``V_n (1 + s_n cos(n phi))`` for n = 1..6."""
    groups = lists.groups["experimental_torsion"]
    phi, derivative = internal.dihedral(groups.positions(x))
    force = lists.values["experimental_torsion_force_constant"].reshape(-1, 6)
    signed = force * lists.values["experimental_torsion_sign"].reshape(-1, 6)
    multiple = np.arange(1, 7) * phi[..., None]
    energy = (force + signed * np.cos(multiple)).sum(axis=(-1, -2))
    slope = -(signed * np.arange(1, 7) * np.sin(multiple)).sum(axis=-1)
    return Evaluation(energy, groups.scatter(derivative * slope[:, None, :, None]))


def vina_steric(
    x: Float[Array, "s a 3"], lists: GeometryLists, parameters: Parameters
) -> Evaluation:
    """Push chains apart where atoms are nearer than ``1 - buffer`` of their radii's sum.

    Terms of AutoDock Vina. The energy jumps at the edge, as upstream's does.
    """
    energy, gradient = np.zeros(len(x)), np.zeros_like(x)
    for sample, i, j in lists.neighbours.near(x, parameters["buffer"]):
        length, derivative = internal.distance(np.stack([x[sample, i], x[sample, j]])[None])
        excess = length[0] - (lists.radius[i] + lists.radius[j]).astype(np.float64)
        near = -0.0356 * np.exp(-((excess / 0.5) ** 2))
        far = -0.00516 * np.exp(-(((excess - 3.0) / 2.0) ** 2))
        overlap = np.minimum(excess, 0.0)
        energy += np.bincount(sample, near + far + 0.840 * overlap**2, len(x))
        slope = -8.0 * near * excess - 0.5 * far * (excess - 3.0) + 1.680 * overlap
        ends = Groups(np.stack([i, j]) + sample * x.shape[1], len(x) * x.shape[1])
        gradient += ends.scatter(derivative * slope[None, None, :, None]).reshape(x.shape)
    return Evaluation(energy, gradient)


POTENTIALS: dict[str, Potential] = {  # in the order of evaluation
    "VinaStericPotential": vina_steric,
    "ExperimentalTorsionPotential": experimental_torsion,
    "InterchainBondPotential": interchain_bond,
    "PairwiseDistancePotential": pairwise_distance,
    "ChiralAtomPotential": chiral_atom,
    "StereoBondPotential": stereo_bond,
    "PlanarImproperPotential": planar_improper,
    "LinearBondPotential": linear_bond,
}

Bound = float | Float[Array, "m"]
Flat = Callable[[Array, Bound, Bound], tuple[Array, Array]]


def _held(
    x: Array, groups: Groups, measure: Callable[[Array], internal.Measure], shape: Flat,
    lower: Bound, upper: Bound,
) -> Evaluation:
    """Charge values outside their bounds."""
    value, derivative = measure(groups.positions(x))
    energy, slope = shape(value, lower, upper)
    return Evaluation(energy.sum(axis=-1), groups.scatter(derivative * slope[:, None, :, None]))


def _linear(value: Array, lower: Bound, upper: Bound) -> tuple[Array, Array]:
    below, above = np.maximum(lower - value, 0.0), np.maximum(value - upper, 0.0)
    return below + above, (above > 0).astype(np.float64) - (below > 0)


def _parabolic(value: Array, lower: Bound, upper: Bound) -> tuple[Array, Array]:
    below, above = np.maximum(lower - value, 0.0), np.maximum(value - upper, 0.0)
    return 0.5 * (below**2 + above**2), above - below
