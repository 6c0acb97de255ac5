# SPDX-License-Identifier: Apache-2.0
"""Trees of sugars: order of codes, parents, linkages."""

import pytest

from protenix_ms.io.glycan import Linkage, parse_glycan


@pytest.mark.parametrize(("text", "codes", "bonds"), [
    ("MAN", "MAN", []),
    ("nag(4-1 NAG)", "NAG NAG", [(1, 2, 4, 1)]),
    ("NAG ( 4-1 NAG (4-1 BMA) ) ", "NAG NAG BMA", [(1, 2, 4, 1), (2, 3, 4, 1)]),
    ("NAG(6-1 FUC)(4-1 NAG(4-1 BMA(3-1 MAN(2-1 NAG))(6-1 MAN)))",
     "NAG FUC NAG BMA MAN NAG MAN",
     [(1, 2, 6, 1), (1, 3, 4, 1), (3, 4, 4, 1), (4, 5, 3, 1), (5, 6, 2, 1), (4, 7, 6, 1)]),
    ("GAL(3-2 SIA)", "GAL SIA", [(1, 2, 3, 2)]),
    ("NAG(NAG(BMA))(FUC)", "NAG NAG BMA FUC",
     [(1, 2, None, None), (2, 3, None, None), (1, 4, None, None)]),
])
def test_tree(text, codes, bonds):
    assert parse_glycan(text, "here") == (tuple(codes.split()),
                                          tuple(Linkage(*bond) for bond in bonds))
