# SPDX-License-Identifier: Apache-2.0
"""The alphabet of ESM-2: 33 tokens, numbered as in fair-esm and in transformers."""

from __future__ import annotations

TOKENS = ("<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>")
"""Names of the tokens, by number."""

NUMBER = {token: number for number, token in enumerate(TOKENS)}
"""Numbers of the tokens, by name."""

BEGIN, PADDING, END, MASK = (NUMBER[name] for name in ("<cls>", "<pad>", "<eos>", "<mask>"))

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
"""The twenty standard residues, in alphabetical order."""

INSIDE = frozenset(TOKENS) - {"<cls>", "<pad>", "<eos>"}
"""What may stand in a sequence: the first token and the last are ours, padding is nobody's."""
