# SPDX-License-Identifier: Apache-2.0
"""Glycans of AlphaFold Server: which atoms their sugars bond by."""

import pytest

from protenix_ms.io.server_glycans import expand_glycan
from protenix_ms.job import Polymer

CHAIN = Polymer("protein", "GNSTK", count=2)


@pytest.mark.parametrize("text, position, bonds", [
    ("NAG", 2, ["ND2-C1"]),
    ("NAG(NAG)(FUC)", 2, ["ND2-C1", "O4-C1", "O6-C1"]),
    ("NAG(FUC)(NAG)", 2, ["ND2-C1", "O6-C1", "O4-C1"]),
    ("NAG(FUC)", 3, ["OG-C1", "O6-C1"]),
    ("NAG(NAG(BMA(MAN(MAN))(MAN)))", 2, ["ND2-C1", "O4-C1", "O4-C1", "O3-C1", "O2-C1", "O6-C1"]),
    ("A2G(GAL(SIA))", 4, ["OG1-C1", "O3-C1", "O3-C2"]),
    ("NAG(3-1 NAG)", 2, ["ND2-C1", "O3-C1"]),
])
def test_linkages(text, position, bonds):
    ligand, made, note = expand_glycan(text, CHAIN, 1, position, 4, "here")
    assert ligand.count == 2 and {bond.second.entity for bond in made} == {4}
    for copy in (1, 2):
        mine = [b for b in made if b.second.copy == copy]
        assert [f"{b.first.atom}-{b.second.atom}" for b in mine] == bonds
        assert mine[0].first.entity == 1 and mine[0].first.copy == copy
    assert note.startswith("its glycan is bonded by convention: ")
