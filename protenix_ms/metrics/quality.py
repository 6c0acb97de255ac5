# SPDX-License-Identifier: Apache-2.0
"""One predicted complex beside the known one: lDDT by chains, RMSD, TM-score, clashes.

lDDT is upstream's: the mean over pairs of resolved atoms, not over atoms, so that the whole and
its parts add up; neighbourhoods of nucleotides are wider (upstream `LDDTMetrics`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from protenix_ms.metrics.clash import has_clash
from protenix_ms.metrics.structure import LDDT_RADIUS, LDDT_THRESHOLDS, rmsd, tm_score
from protenix_ms.typing import Array, Bool, Float, Int, Shaped

NUCLEOTIDE_RADIUS = 30.0  # angstrom
_ROWS = 512  # distances are made for this many atoms at once
_FEWEST = 3  # residues or atoms that can be superposed


@dataclass(frozen=True)
class KnownComplex:
    """What a prediction is judged by; rows are its atoms.

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
    def of(
        cls,
        features: Mapping[str, Shaped[Array, "..."]],
        x: Float[Array, "a 3"],
        resolved: Bool[Array, "a"],
    ) -> KnownComplex:
        """From an example's features, and its labels in the order that fits the prediction."""
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
    """All scores of a sample. Its own chain names do not matter: match labels to it before."""
    r = known.resolved
    lddt, chain_lddt = lddt_by_chains(predicted, known)
    centres = r & known.centre & known.polymer
    apart = rmsd(predicted[r], known.x[r]) if r.sum() >= _FEWEST else math.nan
    tm = math.nan
    if centres.sum() >= _FEWEST:
        tm = tm_score(predicted[centres], known.x[centres])
    return Quality(lddt, chain_lddt, apart, tm,
                   has_clash(predicted, known.chain, known.polymer))


def lddt_by_chains(
    predicted: Float[Array, "a 3"], known: KnownComplex
) -> tuple[float, Float[Array, "c c"]]:
    """lDDT of the complex, and of every chain and pair of chains (both orders together).

    A pair of atoms counts if the known distance is below 15 angstrom, or 30 where the first is of
    a nucleotide.
    """
    r = known.resolved
    x, y, chain = predicted[r].astype(np.float64), known.x[r].astype(np.float64), known.chain[r]
    reach = np.where(known.nucleotide[r], NUCLEOTIDE_RADIUS, LDDT_RADIUS)
    member = np.eye(int(known.chain.max(initial=-1)) + 1)[chain]
    kept, count = np.zeros((2, *[member.shape[1]] * 2))
    for start in range(0, len(x), _ROWS):
        rows = slice(start, start + _ROWS)
        true = _distances(y[rows], y)
        near = true < reach[rows, None]
        near[np.arange(len(true)), np.arange(start, start + len(true))] = False
        error = np.abs(_distances(x[rows], x) - true)
        share = sum((error < limit).astype(np.float64) for limit in LDDT_THRESHOLDS)
        kept += member[rows].T @ ((share * near) @ member) / len(LDDT_THRESHOLDS)
        count += member[rows].T @ (near.astype(np.float64) @ member)
    with np.errstate(invalid="ignore"):
        return float(kept.sum() / count.sum()), (kept + kept.T) / (count + count.T)


def _distances(x: Float[Array, "r 3"], y: Float[Array, "a 3"]) -> Float[Array, "r a"]:
    return np.sqrt(np.square(x[:, None] - y[None]).sum(-1))
