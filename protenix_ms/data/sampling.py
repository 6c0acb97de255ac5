# SPDX-License-Identifier: Apache-2.0
"""Which chain or interface is drawn next (AF3 SI 2.5.1; upstream `calc_weights_for_df`)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from protenix_ms.data.index import Row
from protenix_ms.errors import InputError
from protenix_ms.typing import Array, Float, Int

_CLUSTER_GUARD = 1e-9


@dataclass(frozen=True)
class RowFilter:
    """Which lines of an index take part.

    Attributes:
        max_tokens, min_tokens: size of the whole entry; 0 for no limit.
        max_resolution: angstrom, 0 for no limit; unknown resolution passes.
        released_before, released_after: "YYYY-MM-DD", exclusive; "" for no limit.
        without_types: lines with such a molecule are left out (upstream trains on no ions).
        names: only these entries; empty for all.
    """

    max_tokens: int = 0
    min_tokens: int = 0
    max_resolution: float = 0.0
    released_before: str = ""
    released_after: str = ""
    without_types: tuple[str, ...] = ("ions",)
    names: frozenset[str] = frozenset()

    def keeps(self, row: Row) -> bool:
        """Whether a line takes part."""
        tokens, date = int(row["num_tokens"]), row["release_date"]
        too_coarse = bool(self.max_resolution) and float(row["resolution"]) > self.max_resolution
        return not (
            (self.max_tokens and tokens > self.max_tokens)
            or tokens < self.min_tokens
            or too_coarse
            or (self.released_before and date >= self.released_before)
            or (self.released_after and date <= self.released_after)
            or {row["mol_1_type"], row["mol_2_type"]} & set(self.without_types)
            or (self.names and row["pdb_id"] not in self.names)
        )


@dataclass(frozen=True)
class Weighting:
    """beta of AF3 SI 2.5.1 by kind of line, alpha by type of molecule."""

    chain: float = 0.5
    interface: float = 1.0
    prot: float = 3.0
    nuc: float = 3.0
    ligand: float = 1.0

    def beta(self, row: Row) -> float:
        """Factor of the kind of line."""
        return self.chain if row["type"] == "chain" else self.interface

    def alpha(self, row: Row) -> float:
        """Sum over the molecules of a line; others than these three kinds count nothing."""
        of_type = {"prot": self.prot, "nuc": self.nuc, "ligand": self.ligand}
        return sum(of_type.get(row[key], 0.0) for key in ("mol_1_type", "mol_2_type"))


def row_weights(rows: list[Row], weighting: Weighting = Weighting()) -> Float[Array, "r"]:  # noqa: B008
    """Unnormalised weight of every line.

    ``beta * sum(alpha of its molecules) / size of its cluster / copies in its entry``; the size
    of a cluster counts entity pairs per entry once.
    """
    pairs = [_entities(row) for row in rows]
    copies = Counter(pairs)
    members: dict[str, set[tuple[str, ...]]] = {}
    for row, pair in zip(rows, pairs):
        members.setdefault(row["cluster_id"], set()).add(pair)
    weights = []
    for row, pair in zip(rows, pairs):
        size = len(members[row["cluster_id"]]) + _CLUSTER_GUARD
        weights.append(weighting.beta(row) * weighting.alpha(row) / size / copies[pair])
    return np.array(weights)


def _entities(row: Row) -> tuple[str, ...]:
    return (row["pdb_id"], row["assembly_id"], *sorted((row["entity_1_id"], row["entity_2_id"])))


def epoch_order(
    weights: Float[Array, "r"], size: int, seed: int, epoch: int
) -> Int[Array, "k"]:
    """Lines of one epoch, drawn with replacement; the same for the same seed and epoch.

    Raises:
        InputError: nothing has a weight.
    """
    total = float(weights.sum())
    if not total > 0:
        raise InputError("no line of the index has a sampling weight",
                         fix="loosen the filters or prepare more entries")
    rng = np.random.default_rng([seed, epoch])
    return rng.choice(len(weights), size=size, p=weights / total)
