# SPDX-License-Identifier: Apache-2.0
"""Species of alignment rows, from UniProt and UniRef100 row names."""

from __future__ import annotations

import re

import numpy as np

from protenix_ms.typing import Array, Shaped

# tr|A0A024|A0A024_HUMAN/1-20 -> HUMAN
_UNIPROT = re.compile(
    r"(?:tr|sp)\|[A-Z0-9]{6,10}(?:_\d+)?\|(?:[A-Z0-9]{1,10}_)(?P<species>[A-Z0-9]{1,5})"
)
# UniRef100_A0A024_9606/1-20 -> 9606
_UNIREF = re.compile(r"UniRef100_[^_]+_(?P<species>[^_/]+)")


def species_of(names: list[str]) -> Shaped[Array, "m"]:
    """Species of every row name as Python strings, "" where the name tells none.

    The patterns are upstream's (`msa_utils._UNIPROT_REGEX`, `_UNIREF_REGEX`).
    """
    found = [_UNIPROT.match(name.strip()) or _UNIREF.match(name.strip()) for name in names]
    species = np.empty(len(names), object)
    species[:] = [match["species"] if match else "" for match in found]
    return species
