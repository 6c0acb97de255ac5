# SPDX-License-Identifier: Apache-2.0
"""What crops need to know of the tokens of an assembly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.features.tokens import TokenTable
from protenix_ms.typing import Array, Bool, Float, Int


@dataclass(frozen=True)
class TokenView:
    """Per token: chain and residue numbers, resolved centre atom, its position in angstrom.

    `ion` marks tokens that are a chain by themselves, one atom each.
    """

    chain: Int[Array, "n"]
    residue: Int[Array, "n"]
    resolved: Bool[Array, "n"]
    position: Float[Array, "n 3"]
    ion: Bool[Array, "n"]

    def __len__(self) -> int:
        return len(self.chain)

    @staticmethod
    def of(atoms: AtomTable, tokens: TokenTable) -> TokenView:
        """The view of an annotated table and its tokens."""
        centre = tokens.centre_atom
        residue = atoms.extra["ref_space_uid"]
        chain_size = np.bincount(tokens.asym_id)[tokens.asym_id]
        residue_size = np.bincount(residue)[residue[centre]]
        return TokenView(
            chain=tokens.asym_id,
            residue=residue[centre],
            resolved=atoms.extra["is_resolved"][centre].astype(bool),
            position=atoms.coord[centre],
            ion=(chain_size == 1) & (residue_size == 1),
        )
