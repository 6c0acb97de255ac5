# SPDX-License-Identifier: Apache-2.0
"""Build `protenix_ms/chem/ccd_kekule.npz`: which aromatic bonds RDKit 2025 calls double.

    pip install rdkit==2025.9.3 && python scripts/pack_kekule.py      # five minutes

Upstream's component cache was made before RDKit 2026 began rings at canonical ranks. Bounds and
torsions of guidance depend on that choice, so it is kept for every bond of the component table.
"""

from __future__ import annotations

import numpy as np
import rdkit
from rdkit import Chem

from protenix_ms.chem.ccd import KEKULE, ComponentDictionary
from protenix_ms.chem.molecule import component_molecule


def main() -> None:
    if not rdkit.__version__.startswith("2025."):
        raise SystemExit(f"RDKit 2025 is needed, this is {rdkit.__version__}")
    ccd = ComponentDictionary.load()
    double: list[bool] = []
    for code in ccd:
        component = ccd[code]
        mol = component_molecule(component)
        bonds = [mol.GetBondBetweenAtoms(int(i), int(j)) for i, j in component.bonds]
        double += [b.GetIsAromatic() and b.GetBondType() == Chem.BondType.DOUBLE for b in bonds]
    np.savez_compressed(KEKULE, double=np.packbits(double), bonds=np.array(len(double)))


if __name__ == "__main__":
    main()
