# SPDX-License-Identifier: Apache-2.0
"""Scores of substitutions: how much likelier the encoder holds another residue at a position.

The score is ``log p(mutant) - log p(wild type)``. The sum over all tokens that makes logits
probabilities is the same in both terms, so the difference of logits is the score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from protenix_ms.constants.restypes import AMINO_ACIDS, NUMBER
from protenix_ms.errors import NonFiniteError
from protenix_ms.esm.encoder import Encoder, Progress, encode
from protenix_ms.io.substitutions import Scan, Variant
from protenix_ms.typing import Array, Float

METHODS = ("masked", "wildtype")
"""The position is masked, one at a time; or all are read from the sequence as it stands."""

_RESIDUES = [NUMBER[letter] for letter in AMINO_ACIDS]


def sequences_to_encode(scans: Sequence[Scan], method: str) -> list[str]:
    """List what the encoder reads: a masked copy for each position, or each sequence once."""
    if method == "wildtype":
        return [scan.protein.sequence for scan in scans]
    return [_masked(scan.tokens, position) for scan in scans for position in scan.positions]


def _masked(tokens: Sequence[str], position: int) -> str:
    return "".join([*tokens[:position - 1], "<mask>", *tokens[position:]])


def scan_substitutions(
    encoder: Encoder, scans: Sequence[Scan], method: str = "masked",
    progress: Progress | None = None,
) -> Iterator[Float[Array, "p 20"]]:
    """Score every residue at every position of every scan.

    Args:
        method: one of `METHODS`. Masked copies are packed, so that many run together.

    Yields:
        Log-odds of a scan in float64: a row for each position, a column for each residue in the
        order of `AMINO_ACIDS`; 0 for the wild type.

    Raises:
        CheckpointError: the weights have no head for logits.
        NonFiniteError: logits that are not finite.
    """
    sequences = sequences_to_encode(scans, method)
    encodings = encode(encoder, sequences, (), logits=True, progress=progress)
    for scan in scans:
        # row 0 is the begin token, so a position is its row
        if method == "wildtype":
            logits = next(encodings).logits[list(scan.positions)]
        else:
            logits = np.stack([next(encodings).logits[n] for n in scan.positions])
        if not np.isfinite(logits).all():
            raise NonFiniteError("the encoder's logits are not finite", where=scan.protein.name,
                                 fix="check the weights")
        yield log_odds(logits, scan.wild_types)


def log_odds(
    logits: Float[Array, "p v"], wild_types: Sequence[str]
) -> Float[Array, "p 20"]:
    """Compute the score of every residue over the wild type of its position."""
    wild = [NUMBER[letter] for letter in wild_types]
    exact = logits.astype(np.float64)
    return exact[:, _RESIDUES] - exact[np.arange(len(wild)), wild][:, None]


def score_variant(variant: Variant, scan: Scan, scores: Float[Array, "p 20"]) -> float:
    """Add up the scores of a variant's substitutions."""
    return sum(float(scores[scan.positions.index(one.position), AMINO_ACIDS.index(one.mutant)])
               for one in variant.substitutions)
