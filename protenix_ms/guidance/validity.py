# SPDX-License-Identifier: Apache-2.0
"""Count what is wrong with the chemistry of a predicted structure.

Limits of bond lengths and of flatness are those of PoseBusters (bonds within 25 % of RDKit's
bounds, atoms within 0.25 angstrom of their plane). Only ligands and modified residues have rules.
"""

from __future__ import annotations

import numpy as np

from protenix_ms.guidance import internal
from protenix_ms.guidance.lists import GeometryLists
from protenix_ms.typing import Array, Float, Int

COUNTS = ("close_contacts", "wrong_chirality", "wrong_double_bonds", "non_planar_groups",
          "wrong_bond_lengths")
_CLOSE = 0.225  # nearer than 0.775 of the sum of radii, where the steric potential begins
_STRETCH = 0.25
_FLAT = 0.25  # angstrom


def count_faults(x: Float[Array, "a 3"], lists: GeometryLists) -> dict[str, int]:
    """Count the faults of one sample (coordinates in angstrom), under the names of `COUNTS`.

    A chiral centre or double bond counts once, however many rules name it; a plane is a centre
    with its three neighbours. Close contacts are pairs of atoms of two chains that no bond joins.
    """
    sample = x[None].astype(np.float64)
    values = {name: groups.positions(sample) for name, groups in lists.groups.items()}
    index = {name: groups.index for name, groups in lists.groups.items()}
    hand = internal.dihedral(values["chiral"])[0][0] * lists.values["chiral_orientation"]
    turn = internal.absolute_dihedral(values["stereo_bond"])[0][0]
    trans = lists.values["stereo_bond_orientation"] > 0.5
    length = internal.distance(values["pairwise_distance"])[0][0]
    low = lists.values["pairwise_distance_lower_bound"] * (1 - _STRETCH)
    high = lists.values["pairwise_distance_upper_bound"] * (1 + _STRETCH)
    bond = lists.values["pairwise_distance_is_bond"] > 0
    height = _heights(values["planar_improper"][0])
    faults = (
        sum(len(i) for _, i, _ in lists.neighbours.near(sample, _CLOSE)),
        _distinct(index["chiral"][3:, hand <= 0]),
        _distinct(index["stereo_bond"][1:3, (turn > np.pi / 2) != trans]),
        _distinct(index["planar_improper"][2:3, height > _FLAT]),
        int((bond & ((length < low) | (length > high))).sum()))
    return dict(zip(COUNTS, faults, strict=True))


def _distinct(columns: Int[Array, "k m"]) -> int:
    return int(np.unique(columns, axis=1).shape[1]) if columns.size else 0


def _heights(x: Float[Array, "4 m 3"]) -> Float[Array, "m"]:
    """Measure the largest distance of four atoms from their best plane, angstrom."""
    points = np.moveaxis(x, 0, 1)
    points = points - points.mean(axis=1, keepdims=True)
    normal = np.linalg.svd(points)[2][:, 2] if len(points) else np.zeros((0, 3))
    heights: Array = np.abs(np.einsum("mki,mi->mk", points, normal)).max(axis=1, initial=0)
    return heights
