# SPDX-License-Identifier: Apache-2.0
"""Covalent bonds between residues, and the leaving atoms they cost (upstream `json_to_feature`)."""

from __future__ import annotations

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.job import CovalentBond


def apply_covalent_bonds(
    table: AtomTable,
    bonds: tuple[CovalentBond, ...],
    ccd: ComponentDictionary,
    generator: np.random.Generator | None = None,
) -> AtomTable:
    """The assembly with the job's bonds made and the leaving groups of bonded atoms removed.

    `table` is the whole assembly in job order; `entity_id` holds "1", "2", ...; the extra column
    `copy_id` (1-based copy of the entity) is required, `atom_index` and `atom_map` are used for
    addresses by number. A bond without copies joins the copies pairwise, in order.

    Args:
        generator: chooses among leaving groups when an atom has more of them than bonds (upstream
            draws from `random.sample`); None takes the first in dictionary order.

    Raises:
        ChemistryError: a bond end that matches no atom, or different numbers of copies.
    """
    raise NotImplementedError


def selenomethionine_to_methionine(table: AtomTable) -> AtomTable:
    """MSE residues renamed to MET, SE to SD (AF3 SI 2.1; upstream calls it after the bonds)."""
    raise NotImplementedError
