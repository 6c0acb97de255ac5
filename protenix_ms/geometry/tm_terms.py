# SPDX-License-Identifier: Apache-2.0
"""Expected TM-score terms of a predicted aligned error (AF3 SI section 5.9.1).

pTM and ipTM average E[1 / (1 + (e / d0)^2)] over pairs of tokens, where d0 follows the size of the
complex that is scored: the whole, one chain, or two chains. Two terms per pair of tokens serve all
of them, so the distribution itself (n x n x 64) is never kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protenix_ms.geometry.bins import PAE, probabilities
from protenix_ms.typing import Array, Float, Int


def tm_d0(n: int) -> float:
    """Compute the TM-score's distance scale for `n` residues, at least 19, in angstrom."""
    return float(1.24 * (max(n, 19) - 15) ** (1.0 / 3.0) - 1.8)


def tm_weights(n: int) -> Float[Array, "k"]:
    """Compute the TM-score term of every PAE bin centre in a complex of `n` tokens."""
    return (1.0 / (1.0 + (PAE.centres().astype(np.float64) / tm_d0(n)) ** 2)).astype(np.float32)


@dataclass(frozen=True)
class TmTables:
    """The chains of a job, which set the weights by which PAE bins become TM terms.

    Attributes:
        chain: chain number of every token, 0, 1, ... without gaps.
        sizes: tokens of every chain.
    """

    chain: Int[Array, "n"]
    sizes: Int[Array, "c"]

    @classmethod
    def from_chains(cls, asym_id: Int[Array, "n"]) -> TmTables:
        """Make the tables from the chain number of every token, which may have gaps."""
        _, chain, sizes = np.unique(asym_id, return_inverse=True, return_counts=True)
        return cls(chain, sizes)

    def reduce(
        self, logits: Float[Array, "r n k"], rows: slice
    ) -> tuple[Float[Array, "r n"], Float[Array, "r n"], Float[Array, "r n"]]:
        """Reduce the PAE logits of some rows.

        Args:
            rows: the tokens of the rows.

        Returns:
            Expected error in angstrom; TM terms at the size of the whole complex; TM terms at the
            size of the complex made of the two tokens' chains.
        """
        p = probabilities(logits)
        both = p @ np.stack([PAE.centres(), tm_weights(len(self.chain))], axis=1)
        pair = np.empty(p.shape[:2], np.float32)
        row_chain = self.chain[rows]
        for i in np.unique(row_chain):
            own = np.flatnonzero(row_chain == i)
            size = np.where(np.arange(len(self.sizes)) == i, 0, self.sizes) + self.sizes[i]
            for n in np.unique(size):
                columns = np.flatnonzero(size[self.chain] == n)
                place = np.ix_(own, columns)
                pair[place] = p[place] @ tm_weights(int(n))
        return both[..., 0], both[..., 1], pair
