# SPDX-License-Identifier: Apache-2.0
"""Components of a user's own, beside those of the dictionary that the same text describes."""

import gzip
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.own_components import dictionary_of, read_components
from protenix_ms.errors import ChemistryError
from protenix_ms.job import Job, Ligand

TABLES = Path(__file__).resolve().parents[2] / "golden" / "components.cif.gz"
LIG = """data_LIG-1
_chem_comp.type non-polymer
loop_
_chem_comp_atom.atom_id
_chem_comp_atom.type_symbol
_chem_comp_atom.charge
C1 C 0
C2 C 0
O1 O -1
loop_
_chem_comp_bond.atom_id_1
_chem_comp_bond.atom_id_2
_chem_comp_bond.value_order
C1 C2 SING
C2 O1 SING
"""


@pytest.fixture(scope="module")
def blocks():
    with gzip.open(TABLES, "rt") as file:
        return {block.name: block for block in gemmi.cif.read_string(file.read())}


@pytest.mark.parametrize("code", ["ATP", "ADN", "5CM", "A2G", "ACP", "ALY"])
def test_the_same_component_as_the_dictionary(code, blocks):
    ours = ComponentDictionary.load()[code]
    theirs = read_components(blocks[code].as_string())[code]
    for key in ("atom_name", "element", "charge", "ref_charge", "hydrogens", "leaving", "bonds",
                "bond_aromatic", "ref_mask"):
        np.testing.assert_array_equal(getattr(theirs, key), getattr(ours, key), err_msg=key)
    for key in ("type", "one_letter", "parent", "mol_type"):
        assert getattr(theirs, key) == getattr(ours, key)
    assert theirs.bond_order.sum() == ours.bond_order.sum()
    length = [np.linalg.norm(np.diff(c.ref_pos[c.bonds], axis=1)[:, 0], axis=-1)
              for c in (ours, theirs)]
    np.testing.assert_allclose(length[0], length[1], atol=0.08)


def test_hydrogens_may_be_left_out():
    component = read_components(LIG)["LIG-1"]
    assert component.hydrogens.tolist() == [3, 2, 0] and component.charge.tolist() == [0, 0, -1]
    assert component.mol_type == "ligand" and component.bonds.tolist() == [[0, 1], [1, 2]]
    assert 1.3 < np.linalg.norm(component.ref_pos[0] - component.ref_pos[1]) < 1.7
    again = read_components(LIG)["LIG-1"]
    np.testing.assert_array_equal(component.ref_pos, again.ref_pos)


def test_a_component_belongs_to_its_job_only():
    ccd = ComponentDictionary.load()
    job = Job("j", (Ligand(codes=("LIG-1",)),), own_components=LIG)
    own = dictionary_of(job, ccd)
    assert "LIG-1" in own and "LIG-1" in list(own) and own["ATP"] is not None
    assert "LIG-1" not in ccd and own.sha256 != ccd.sha256
    assert dictionary_of(replace(job, own_components=""), ccd) is ccd
    with pytest.raises(ChemistryError, match="did you mean 'LIG-1'"):
        own["LIG1"]


def test_an_own_component_wins_over_the_dictionary():
    ccd = ComponentDictionary.load()
    job = Job("j", (), own_components=LIG.replace("LIG-1", "ATP"))
    assert len(dictionary_of(job, ccd)["ATP"]) == 3 and len(ccd["ATP"]) == 31


def test_coordinates_stand_in_where_no_conformer_is_possible():
    """Carbon with five bonds: RDKit refuses it, the text's coordinates are taken."""
    names = ["C0", *(f"F{i}" for i in range(1, 6))]
    text = "data_FIVE\nloop_\n" + "".join(f"_chem_comp_atom.{key}\n" for key in (
        "atom_id", "type_symbol", *(f"pdbx_model_Cartn_{x}_ideal" for x in "xyz")))
    text += "".join(f"{name} {name[0]} {i} 0 1\n" for i, name in enumerate(names))
    bonds = ("loop_\n_chem_comp_bond.atom_id_1\n_chem_comp_bond.atom_id_2\n"
             "_chem_comp_bond.value_order\n" + "".join(f"C0 {n} SING\n" for n in names[1:]))
    component = read_components(text + bonds)["FIVE"]
    np.testing.assert_array_equal(component.ref_pos, [[i, 0, 1] for i in range(6)])
    with pytest.raises(ChemistryError, match="no conformer of component FIVE"):
        read_components(text.replace(" 0 1\n", " ? 1\n") + bonds)
