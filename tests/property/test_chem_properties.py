# SPDX-License-Identifier: Apache-2.0
"""What holds for every component, every chain and every molecule."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.ligand import build_ligand
from protenix_ms.chem.molecule import component_molecule
from protenix_ms.chem.polymer import build_polymer
from protenix_ms.constants.restypes import SEQUENCE_LETTERS
from protenix_ms.job import Ligand, Modification

CCD = ComponentDictionary.load()
CODES = [code for code in CCD if len(CCD[code]) > 0 and len(CCD[code]) < 80]
QUICK = settings(max_examples=40, deadline=None)


def assert_sound(table):
    """Bonds join different atoms once; atoms of a residue have different names."""
    ends = np.sort(table.bonds[:, :2], axis=1)
    assert len(np.unique(ends, axis=0)) == len(ends)
    assert (ends[:, 0] < ends[:, 1]).all() and ((ends >= 0) & (ends < len(table))).all()
    keys = list(zip(table.res_id.tolist(), table.atom_name.tolist()))
    assert len(set(keys)) == len(keys)
    assert np.isfinite(table.ref_pos).all() and not set(table.element) & {"H", "D"}
    assert ((table.ref_mask == 1) | (table.ref_pos == 0).all(axis=1)).all()


@QUICK
@given(st.data())
def test_chains_with_any_component(data):
    kind = data.draw(st.sampled_from(sorted(SEQUENCE_LETTERS)))
    sequence = data.draw(st.text(sorted(SEQUENCE_LETTERS[kind]), min_size=1, max_size=12))
    places = data.draw(st.sets(st.integers(1, len(sequence)), max_size=3))
    changes = tuple(Modification(data.draw(st.sampled_from(CODES)), p) for p in sorted(places))
    table = build_polymer(kind, sequence, changes, CCD)
    assert_sound(table)
    assert not set(table.res_id) - set(range(1, len(sequence) + 1))


@QUICK
@given(st.lists(st.sampled_from(CODES), min_size=1, max_size=4))
def test_ligands_of_any_components(codes):
    table = build_ligand(Ligand(codes=tuple(codes)), CCD, 0, 0)
    assert_sound(table)
    assert len(table) == sum(len(CCD[code]) for code in codes)


@QUICK
@given(st.sampled_from(CODES))
def test_molecules_of_components(code):
    component = CCD[code]
    mol = component_molecule(component)
    assert [atom.GetProp("name") for atom in mol.GetAtoms()] == component.atom_name.tolist()
    assert [atom.GetTotalNumHs() for atom in mol.GetAtoms()] == component.hydrogens.tolist()
    assert mol.GetNumBonds() == len(component.bonds)
    np.testing.assert_allclose(mol.GetConformer().GetPositions(), component.ref_pos, atol=1e-5)
