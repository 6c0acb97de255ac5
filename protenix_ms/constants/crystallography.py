# SPDX-License-Identifier: Apache-2.0
"""What only helps a crystal to grow: removed from training structures (AF3 SI 2.5.4, table 8)."""

from __future__ import annotations

_AIDS = "SO4 GOL EDO PO4 ACT PEG DMS TRS PGE PG4 FMT EPE MPD MES CD IOD"
CRYSTALLIZATION_AIDS = frozenset(_AIDS.split())

#: Values of `_exptl.method` that grow crystals or fibres.
CRYSTALLIZATION_METHODS = frozenset(
    {
        "X-RAY DIFFRACTION",
        "NEUTRON DIFFRACTION",
        "ELECTRON CRYSTALLOGRAPHY",
        "POWDER CRYSTALLOGRAPHY",
        "FIBER DIFFRACTION",
    }
)
