# SPDX-License-Identifier: Apache-2.0
"""Scores of a predicted complex against the known one: lDDT by chains, RMSD, TM-score, clashes.

lDDT is defined as in upstream's `LDDTMetrics`: the mean over pairs of resolved atoms, not over
atoms, so that the values of chains and pairs of chains add up to the whole. Neighbourhoods of
nucleotides are wider.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from protenix_ms.geometry.distances import (
    LDDT_NUCLEOTIDE_RADIUS,
    LDDT_RADIUS,
    compare_distances,
)
from protenix_ms.metrics.structure import has_clash, rmsd, tm_score
from protenix_ms.typing import Array, Bool, Float, Int, Shaped

ROWS_AT_ONCE = 512
FEWEST_POINTS = 3  # of a superposition


@dataclass(frozen=True)
class KnownComplex:
    """The known structure of a complex; rows are the atoms of the prediction.

    Attributes:
        x: known coordinates, angstrom.
        resolved: atoms whose coordinates are known.
        chain: chain number of every atom, 0 to c - 1.
        polymer: atoms of polymers.
        nucleotide: atoms of nucleic acids.
        centre: CA, C1' or the one atom of each token.
    """

    x: Float[Array, "a 3"]
    resolved: Bool[Array, "a"]
    chain: Int[Array, "a"]
    polymer: Bool[Array, "a"]
    nucleotide: Bool[Array, "a"]
    centre: Bool[Array, "a"]

    @classmethod
    def from_features(
        cls,
        features: Mapping[str, Shaped[Array, "..."]],
        x: Float[Array, "a 3"],
        resolved: Bool[Array, "a"],
    ) -> KnownComplex:
        """Read an example's features.

        Args:
            x, resolved: the example's labels, in the order that fits the prediction best.
        """
        asym = np.unique(features["asym_id"], return_inverse=True)[1]
        flag = {k: np.asarray(features[k]).astype(bool)
                for k in ("is_ligand", "is_dna", "is_rna", "pae_rep_atom_mask")}
        chain = asym[np.asarray(features["atom_to_token_idx"])]
        return cls(x, resolved, chain, ~flag["is_ligand"], flag["is_dna"] | flag["is_rna"],
                   flag["pae_rep_atom_mask"])


@dataclass(frozen=True)
class Quality:
    """Scores of one sample; NaN where nothing can be compared.

    Attributes:
        lddt: of the complex, 0-1.
        chain_lddt: of every chain (diagonal) and pair of chains, symmetric, 0-1.
        rmsd: of all resolved atoms, angstrom.
        tm_score: of the polymers' centre atoms, 0-1.
        clash: whether two polymer chains overlap.
    """

    lddt: float
    chain_lddt: Float[Array, "c c"]
    rmsd: float
    tm_score: float
    clash: bool


def judge(predicted: Float[Array, "a 3"], known: KnownComplex) -> Quality:
    """Compute all scores of a sample.

    Equal chains are not exchanged here: bring the labels into the order that fits before.
    """
    r = known.resolved
    lddt, chain_lddt = lddt_by_chains(predicted, known)
    centres = r & known.centre & known.polymer
    apart = rmsd(predicted[r], known.x[r]) if r.sum() >= FEWEST_POINTS else math.nan
    tm = math.nan
    if centres.sum() >= FEWEST_POINTS:
        tm = tm_score(predicted[centres], known.x[centres])
    return Quality(lddt, chain_lddt, apart, tm,
                   has_clash(predicted, known.chain, known.polymer))


def lddt_by_chains(
    predicted: Float[Array, "a 3"], known: KnownComplex
) -> tuple[float, Float[Array, "c c"]]:
    """Compute lDDT of the complex, and of every chain and pair of chains (both orders together).

    A pair of atoms counts if the known distance is below 15 angstrom, or 30 where the first is of
    a nucleotide.
    """
    r = known.resolved
    x, y, chain = predicted[r].astype(np.float64), known.x[r].astype(np.float64), known.chain[r]
    radius = np.where(known.nucleotide[r], LDDT_NUCLEOTIDE_RADIUS, LDDT_RADIUS)[:, None]
    member = np.eye(int(known.chain.max(initial=-1)) + 1)[chain]
    preserved, count = np.zeros((2, *[member.shape[1]] * 2))
    for start in range(0, len(x), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        share, near = compare_distances((x[rows], x), (y[rows], y), radius[rows])
        near[np.arange(len(near)), np.arange(start, start + len(near))] = False
        preserved += member[rows].T @ ((share * near) @ member)
        count += member[rows].T @ (near.astype(np.float64) @ member)
    with np.errstate(invalid="ignore"):
        return float(preserved.sum() / count.sum()), (preserved + preserved.T) / (count + count.T)
