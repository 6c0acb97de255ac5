# SPDX-License-Identifier: Apache-2.0
"""The substitution matrix and the gap penalties by which Kalign 3 aligns two proteins."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

SUBSTITUTION_LETTERS = "ARNDCQEGHILKMFPSTWYVBZX"
# CorBLOSUM66_13plus, the published matrix that Kalign 3 uses (see NOTICE), without its upper half.
_LOWER_HALF = """
 5
-1  6
-1  0  6
-2 -1  2  7
-2 -3 -3 -3 12
-1  1  1  1 -3  5
-1  1  0  2 -4  2  6
 0 -2  0 -1 -3 -2 -2  7
-2  0  0 -1 -2  0 -1 -2 10
-1 -2 -3 -3 -2 -2 -3 -4 -3  5
-1 -2 -3 -3 -3 -2 -3 -4 -3  2  5
-1  3  0  0 -3  1  1 -2  0 -2 -2  5
 0 -1 -2 -3 -2  0 -2 -3 -2  2  3 -1  6
-2 -3 -2 -3 -1 -2 -3 -3 -2  0  1 -3  1  7
-1 -1 -1 -1 -3 -1  0 -2 -2 -3 -3 -1 -2 -3  9
 1 -1  1  0 -2  0  0  0 -1 -2 -3  0 -1 -2  0  4
 0 -1  0 -1 -2  0 -1 -2 -1 -1 -2  0 -1 -2 -1  2  5
-2 -1 -2 -3 -3 -1 -2 -3 -2 -1  0 -2  0  2 -2 -2 -1 13
-2 -1 -1 -2 -2 -1 -2 -3  1 -1 -1 -2 -1  3 -2 -2 -1  3  9
 0 -2 -2 -3 -2 -2 -2 -3 -3  3  1 -2  1  0 -2 -1  0 -2 -1  4
-2  0  4  5 -3  1  1 -1  0 -3 -3  0 -2 -3 -1  0  0 -2 -2 -3  4
-1  1  0  2 -3  3  4 -2  0 -2 -2  1 -1 -3 -1  0  0 -2 -2 -2  1  4
 0 -1 -1 -1 -2  0 -1 -1 -1 -1 -1 -1  0 -1 -1  0  0 -1 -1 -1 -1 -1 -1
"""
_half = np.zeros((len(SUBSTITUTION_LETTERS),) * 2)
_half[np.tril_indices(len(_half))] = np.array(_LOWER_HALF.split(), np.float64)
SUBSTITUTION = _half + np.tril(_half, -1).T
SUBSTITUTION_INDEX = MappingProxyType({name: i for i, name in enumerate(SUBSTITUTION_LETTERS)})

GAP_OPEN = 5.5  # once where a gap begins and once where it ends
GAP_EXTEND = 2.0  # per further residue of an inner gap
END_GAP_EXTEND = 1.0  # per residue of a gap before the first or after the last aligned residue
