# SPDX-License-Identifier: Apache-2.0
"""Summary confidence of one sample, with upstream's fields and definitions (`sample_confidence`).

Scores are computed from reduced arrays: atom pLDDT, expected errors, and two TM terms per pair of
tokens (`geometry.tm_terms`), never from distributions. As upstream writes them, pLDDT is 0-100 for
the complex and 0-1 for chains; errors are in angstrom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from protenix_ms.geometry.tm_terms import TmTables
from protenix_ms.metrics.structure import has_clash
from protenix_ms.typing import Array, Bool, Float, Int

EPSILON = 1e-8


@runtime_checkable
class SampleConfidence(Protocol):
    """The confidence head's results for one sample (`model.confidence.ConfidenceOutput`)."""

    atom_plddt: Float[Array, "a"]
    pae: Float[Array, "n n"]
    pde: Float[Array, "n n"]
    tm_complex: Float[Array, "n n"]
    tm_pair: Float[Array, "n n"]


@dataclass(frozen=True)
class Layout:
    """The chains of a job's atoms and tokens.

    Attributes:
        chain: chain number of every token, without gaps.
        has_frame: whether a token has a frame, that is, a row of the aligned error.
        atom_chain: chain number of every atom.
        atom_is_polymer: False for atoms of ligands and ions.
        ligand_chain: whether a chain counts as ligand, by chain.
    """

    chain: Int[Array, "n"]
    has_frame: Bool[Array, "n"]
    atom_chain: Int[Array, "a"]
    atom_is_polymer: Bool[Array, "a"]
    ligand_chain: Bool[Array, "c"]

    @classmethod
    def from_features(cls, features: Mapping[str, Array]) -> Layout:
        """Read the layout of a job from the model's input arrays."""
        chain = TmTables.from_chains(features["asym_id"]).chain
        token = features["atom_to_token_idx"]
        ligand_atom = features["is_ligand"].astype(bool)
        token_is_ligand = np.bincount(token, ligand_atom, len(chain)) > 0
        sizes = np.bincount(chain)
        # Half of the tokens, rounded down, as upstream: a one-token chain counts as a ligand.
        ligand = np.bincount(chain, token_is_ligand) >= sizes // 2
        return cls(chain, features["has_frame"].astype(bool), chain[token], ~ligand_atom, ligand)

    @property
    def n_chain(self) -> int:
        return len(self.ligand_chain)


def _by_chain(values: Float[Array, "r n"], chain: Int[Array, "n"]) -> Float[Array, "r c"]:
    """Sum over the tokens of each chain along the second axis, float64."""
    one_hot = (chain[:, None] == np.arange(chain.max() + 1)).astype(np.float64)
    sums: Array = values.astype(np.float64) @ one_hot
    return sums


def _best(values: Float[Array, "n"], rows: Bool[Array, "n"]) -> float:
    return float(values[rows].max()) if rows.any() else 0.0


def tm_scores(sample: SampleConfidence, layout: Layout) -> dict[str, Array | float]:
    """Compute ptm, iptm, chain_ptm and chain_pair_iptm (AF3 SI equations 17 and 18).

    A score is the best over rows of tokens with a frame; a complex without any frame scores 0.
    """
    chain, n_chain, frame = layout.chain, layout.n_chain, layout.has_frame
    sizes, n = np.bincount(chain), len(chain)
    whole = _by_chain(sample.tm_complex, chain)
    other = whole.sum(1) - whole[np.arange(n), chain]
    result: dict[str, Array | float] = {
        "ptm": _best(whole.sum(1) / n, frame),
        "iptm": _best(other / (EPSILON + n - sizes[chain]), frame),
    }
    pair = _by_chain(sample.tm_pair, chain)
    chain_ptm, pair_iptm = np.zeros(n_chain), np.zeros((n_chain, n_chain))
    for i in range(n_chain):
        rows = frame & (chain == i)
        chain_ptm[i] = _best(pair[:, i] / sizes[i], rows)
        for j in range(i + 1, n_chain):
            # rows of either chain see only the tokens of the other
            seen_from_i = _best(pair[:, j] / (EPSILON + sizes[j]), rows)
            seen_from_j = _best(pair[:, i] / (EPSILON + sizes[i]), frame & (chain == j))
            pair_iptm[i, j] = pair_iptm[j, i] = max(seen_from_i, seen_from_j)
    return {**result, "chain_ptm": chain_ptm, "chain_pair_iptm": pair_iptm}


def chain_iptm_scores(pair_iptm: Float[Array, "c c"], layout: Layout) -> dict[str, Array]:
    """Compute chain_iptm and chain_pair_iptm_global from the ipTM of pairs of chains.

    A chain's ipTM is the mean over ordered pairs (i, j) that contain it and whose first chain has a
    frame.
    """
    n_chain = layout.n_chain
    framed = np.bincount(layout.chain, layout.has_frame, n_chain) > 0
    weight = framed[:, None] & ~np.eye(n_chain, dtype=bool)
    total = (pair_iptm * weight).sum(0) + (pair_iptm * weight).sum(1)
    count = weight.sum(0) + weight.sum(1)
    chain_iptm = total / np.maximum(count, 1)
    mean = (chain_iptm[:, None] + chain_iptm[None]) / 2
    ligand = layout.ligand_chain
    by_second = np.where(ligand[None, :], chain_iptm[None, :], mean)
    both = np.where(ligand[:, None], chain_iptm[:, None], by_second)
    np.fill_diagonal(both, 0.0)
    return {"chain_iptm": chain_iptm, "chain_pair_iptm_global": both}


def gpde_scores(
    pde: Float[Array, "n n"], contact_probs: Float[Array, "n n"], chain: Int[Array, "n"]
) -> dict[str, Array | float]:
    """Weight the distance error by contact probability, for the complex, chains and their pairs."""
    weight = contact_probs.astype(np.float64)
    error = _by_chain(_by_chain(pde * weight, chain).T, chain).T
    contact = _by_chain(_by_chain(weight, chain).T, chain).T
    blocks = error / (contact + EPSILON)
    # Upstream reads the block above the diagonal for both orders of a pair.
    pairs = np.triu(blocks, 1)
    return {
        "gpde": float(error.sum() / contact.sum()),
        "chain_gpde": np.diagonal(blocks).copy(),
        "chain_pair_gpde": pairs + pairs.T,
    }


def plddt_scores(atom_plddt: Float[Array, "a"], layout: Layout) -> dict[str, Array | float]:
    """Average pLDDT over the complex (0-100), over chains and over pairs of chains (0-1)."""
    total = np.bincount(layout.atom_chain, atom_plddt, layout.n_chain)
    count = np.bincount(layout.atom_chain, minlength=layout.n_chain)
    pairs = (total[:, None] + total[None]) / (count[:, None] + count[None])
    np.fill_diagonal(pairs, 0.0)
    return {
        "plddt": float(atom_plddt.mean(dtype=np.float64) * 100),
        "chain_plddt": total / count,
        "chain_pair_plddt": pairs,
    }


def ranking_score(iptm: float, ptm: float, disorder: float, clash: bool) -> float:
    """Rank a sample (AF3 SI section 5.9.3).

    As upstream, a monomer is no special case: with an ipTM of 0 it gets 0.2 pTM.
    """
    return 0.8 * iptm + 0.2 * ptm + 0.5 * disorder - 100.0 * clash


KEYS = (
    "plddt", "gpde", "ptm", "iptm", "chain_gpde", "chain_pair_gpde", "chain_ptm", "chain_iptm",
    "chain_pair_iptm", "chain_pair_iptm_global", "chain_plddt", "chain_pair_plddt", "has_clash",
    "num_recycles", "disorder", "ranking_score",
)


def summarize(
    sample: SampleConfidence,
    coordinates: Float[Array, "a 3"],
    contact_probs: Float[Array, "n n"],
    layout: Layout,
    cycles: int,
) -> dict[str, Array | float | bool | int]:
    """Compute upstream's summary confidence of one sample, with its keys in its order.

    `disorder` is 0, as upstream always writes it (it has no disorder measure).
    """
    scores: dict[str, Any] = tm_scores(sample, layout)
    scores |= chain_iptm_scores(scores["chain_pair_iptm"], layout)
    scores |= gpde_scores(sample.pde, contact_probs, layout.chain)
    scores |= plddt_scores(sample.atom_plddt, layout)
    clash = has_clash(coordinates, layout.atom_chain, layout.atom_is_polymer)
    scores |= {"has_clash": clash, "disorder": 0.0, "num_recycles": cycles}
    scores["ranking_score"] = ranking_score(scores["iptm"], scores["ptm"], 0.0, clash)
    return {key: scores[key] for key in KEYS}
