# SPDX-License-Identifier: Apache-2.0
"""Element symbols in upper case, as the CCD and mmCIF write them."""

from __future__ import annotations

from types import MappingProxyType

_SYMBOLS = """
    H HE LI BE B C N O F NE NA MG AL SI P S CL AR K CA SC TI V CR MN FE CO NI CU ZN GA GE AS SE BR
    KR RB SR Y ZR NB MO TC RU RH PD AG CD IN SN SB TE I XE CS BA LA CE PR ND PM SM EU GD TB DY HO
    ER TM YB LU HF TA W RE OS IR PT AU HG TL PB BI PO AT RN FR RA AC TH PA U NP PU AM CM BK CF ES
    FM MD NO LR RF DB SG BH HS MT DS RG CN NH FL MC LV TS OG
"""
ELEMENTS = tuple(_SYMBOLS.split())
"""Symbols by atomic number minus one."""

ATOMIC_NUMBER = MappingProxyType({symbol: i + 1 for i, symbol in enumerate(ELEMENTS)})

NUM_ELEMENT_CLASSES = 128
"""Width of the element one-hot: 118 elements and ten spare classes (AF3 SI table 5)."""
