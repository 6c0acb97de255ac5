# SPDX-License-Identifier: Apache-2.0
"""Polymer chains from sequences (upstream `json_parser.build_polymer`)."""

from __future__ import annotations

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.job import Modification, PolymerKind


def build_polymer(
    kind: PolymerKind,
    sequence: str,
    modifications: tuple[Modification, ...],
    ccd: ComponentDictionary,
) -> AtomTable:
    """The atoms of one copy of a chain, leaving atoms removed, polymer bonds made.

    `res_id` is 1-based; `chain_id` and `entity_id` are "" for the caller to fill; `hetero` is
    False; `charge` is the reference conformer's (upstream `ref_charge`); `coord` is zero; extra
    columns `atom_index` and `atom_map` are -1 (see `ligand.build_ligand`).

    Raises:
        ChemistryError: an unknown letter or component, or a modification outside the chain.
    """
    raise NotImplementedError
