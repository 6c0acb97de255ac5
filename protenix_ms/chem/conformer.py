# SPDX-License-Identifier: Apache-2.0
"""Reference conformers by distance geometry (AF3 SI 2.8: RDKit, ETKDGv3), seeded and bounded."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom

from protenix_ms.typing import Array, Float


class ConformerSource(IntEnum):
    """Where a reference conformer comes from, in the order in which the sources are tried."""

    NONE = 0
    ETKDG = 1
    RANDOM_COORDINATES = 2
    IDEAL = 3
    MODEL = 4
    IMPORTED = 5


def embed(
    mol: Chem.Mol, seed: int, seconds: float = 20.0
) -> tuple[Float[Array, "a 3"], ConformerSource] | None:
    """Coordinates of all atoms of `mol` (hydrogens included) in angstrom, or None on failure.

    ETKDGv3 from a distance-geometry start, then ETKDGv3 from random coordinates, each with half
    of the time. The molecule must be sanitised; it is not changed.

    Args:
        seed: RDKit's seed, 0 or more; the same seed gives the same coordinates.
        seconds: limit for both attempts together, kept by RDKit itself.
    """
    limit = max(1, int(seconds / 2))
    for source in (ConformerSource.ETKDG, ConformerSource.RANDOM_COORDINATES):
        options = rdDistGeom.ETKDGv3()
        options.randomSeed = int(seed)
        options.timeout = limit
        options.useRandomCoords = source is ConformerSource.RANDOM_COORDINATES
        work = Chem.Mol(mol)
        with rdBase.BlockLogs():
            try:
                conformer_id = rdDistGeom.EmbedMolecule(work, options)
            except (RuntimeError, ValueError):
                continue
        if conformer_id >= 0:
            position = work.GetConformer(conformer_id).GetPositions()
            if np.isfinite(position).all():
                return position.astype(np.float32), source
    return None
