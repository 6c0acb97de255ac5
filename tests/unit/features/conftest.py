# SPDX-License-Identifier: Apache-2.0
"""Small atom tables by hand, and a component dictionary that knows just their residues."""

from types import SimpleNamespace

import numpy as np
import pytest

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.constants.residue_atoms import RESIDUE_ATOMS
from protenix_ms.constants.restypes import DNA_RESTYPES, PROTEIN_LETTERS, RNA_RESTYPES
from protenix_ms.features.annotation import annotate
from protenix_ms.features.molecules import assign_molecules

LETTERS = {name: letter for letter, name in PROTEIN_LETTERS.items()} | {
    name: name[-1] for name in RNA_RESTYPES + DNA_RESTYPES
}


class FewComponents(ComponentDictionary):
    """Knows standard residues; SEP is a protein residue called S; everything else is a ligand."""

    def __init__(self):
        pass

    def mol_type(self, code: str) -> str:
        if code in DNA_RESTYPES:
            return "dna"
        if code in RNA_RESTYPES:
            return "rna"
        return "protein" if code in LETTERS or code == "SEP" else "ligand"

    def __getitem__(self, code: str):
        return SimpleNamespace(one_letter=LETTERS.get(code, "S" if code == "SEP" else ""))


@pytest.fixture
def few_components():
    return FewComponents()


def atom_table(*chains, entities=None, bonds=()) -> AtomTable:
    """Make chains from lists of (residue name, atom names or None for all standard atoms)."""
    rows = []
    for c, chain in enumerate(chains):
        entity = (entities or range(1, len(chains) + 1))[c]
        for r, (residue, names) in enumerate(chain, 1):
            atoms = names or [a for a in RESIDUE_ATOMS[residue] if a not in ("OXT", "OP3")]
            rows += [(name, residue, "ABCDEFGH"[c], str(entity), r) for name in atoms]
    atom, residue, chain, entity, number = map(np.array, zip(*rows))
    size = len(rows)
    return AtomTable(
        atom_name=atom,
        element=np.array([name[0] for name in atom]),
        res_name=residue,
        chain_id=chain,
        entity_id=entity,
        res_id=number,
        charge=np.zeros(size, np.int64),
        hetero=np.zeros(size, bool),
        coord=np.zeros((size, 3), np.float32),
        ref_pos=np.random.default_rng(0).normal(scale=3, size=(size, 3)).astype(np.float32),
        ref_mask=np.ones(size, np.int64),
        bonds=np.array([(*pair, 1) for pair in bonds], np.int32).reshape(-1, 3),
    )


@pytest.fixture
def table():
    return atom_table


@pytest.fixture
def annotated():
    def make(*chains, **options) -> AtomTable:
        atoms = annotate(atom_table(*chains, **options), FewComponents())
        return assign_molecules(atoms, set(atoms.entity_id.tolist()))

    return make
