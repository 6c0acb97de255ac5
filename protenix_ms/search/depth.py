# SPDX-License-Identifier: Apache-2.0
"""How deep an alignment is: effective number of sequences, rows per residue, a picture of them."""

from __future__ import annotations

import numpy as np

from protenix_ms.constants.restypes import GAP_INDEX
from protenix_ms.io.a3m import A3m, encode_rows
from protenix_ms.job import PolymerKind
from protenix_ms.typing import Array, Int

SIMILAR = 0.8  # share of equal residues from which two rows count as one
MOST = 2048  # rows that are compared
_STEPS = " ▁▂▃▄▅▆▇█"
_AT_ONCE = 256


def encode(rows: A3m, kind: PolymerKind) -> Int[Array, "m n"]:
    """Encode rows as residue classes; `check_alignment` must have accepted them."""
    return encode_rows(rows.rows, kind)[0]


def effective_rows(classes: Int[Array, "m n"]) -> float:
    """Count rows so that n similar ones count 1/n each (Neff), over the first `MOST` rows.

    Two rows are similar if the residues they share are `SIMILAR` of those of the longer one.
    """
    classes = classes[:MOST]
    residues = classes != GAP_INDEX
    lengths = residues.sum(axis=1)
    weights = 0.0
    for start in range(0, len(classes), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        equal = np.zeros((len(classes[part]), len(classes)), np.int32)
        for column in range(classes.shape[1]):
            letters = classes[:, column]
            equal += (letters[part, None] == letters) & residues[part, column, None]
        longer = np.maximum(lengths[part, None], lengths)
        weights += float((1 / np.maximum((equal >= SIMILAR * longer).sum(axis=1), 1)).sum())
    return weights


def coverage(classes: Int[Array, "m n"]) -> Int[Array, "n"]:
    """Count the rows with a residue in every column."""
    counts: Int[Array, "n"] = (classes != GAP_INDEX).sum(axis=0)
    return counts


def draw(counts: Int[Array, "n"], width: int = 40) -> str:
    """Draw counts along a chain as a line of blocks, each as high as the mean of its part."""
    parts = np.array_split(counts, min(width, len(counts)))
    means = np.array([part.mean() for part in parts])
    top = max(float(means.max()), 1.0)
    return "".join(_STEPS[int(np.ceil(8 * mean / top))] for mean in means)
