# SPDX-License-Identifier: Apache-2.0
"""How distance constraints are sampled from known structures (Protenix v0.5, constraint model)."""

from __future__ import annotations

from dataclasses import dataclass, field

# Kinds of two molecules (P protein, L ligand), and the range that the distance limit is drawn
# from, in angstrom.
Ranges = tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class PairSampling:
    """Contacts between tokens or atoms of different chains, or pockets of a binder chain.

    Attributes:
        probability: of an example to have any.
        size: their number, or below 1 the parameter of a geometric distribution.
        ranges: of the distance limit, by kinds of molecules; of a pocket the binder is first.
        min_distance: nearer pairs are not used; -1 draws it below the limit.
        by_interface: the number is drawn for every pair of chains, not for the whole crop.
    """

    probability: float
    ranges: Ranges
    size: float = 1 / 3
    min_distance: float = 0.0
    by_interface: bool = False


@dataclass(frozen=True)
class SubstructureSampling:
    """Distances inside known parts.

    Attributes:
        probability: of an example to have any.
        size: number of chains, see `PairSampling`.
        interfaces: a chain takes part if it is of the first kind and within so many angstrom of a
            chain of the second.
        full_shares: the share of the chains that is known in full is one of these.
        noise: standard deviation of the coordinates, angstrom.
    """

    probability: float
    size: float = 0.8
    interfaces: tuple[tuple[str, float], ...] = (("PP", 15.0), ("PL", 10.0), ("LP", 10.0))
    full_shares: tuple[float, ...] = (0.0, 0.5, 1.0)
    noise: float = 0.05


@dataclass(frozen=True)
class ConstraintSampling:
    """All four kinds, with the probabilities that upstream's constraint model was trained at."""

    pocket: PairSampling = field(
        default_factory=lambda: PairSampling(0.2, (("PP", 6.0, 20.0), ("LP", 6.0, 20.0)))
    )
    contact: PairSampling = field(
        default_factory=lambda: PairSampling(0.1, (("PP", 6.0, 30.0), ("PL", 4.0, 10.0)))
    )
    contact_atom: PairSampling = field(
        default_factory=lambda: PairSampling(
            0.1, (("PP", 2.0, 12.0), ("PL", 2.0, 8.0)), min_distance=-1.0
        )
    )
    substructure: SubstructureSampling = field(default_factory=lambda: SubstructureSampling(0.5))
