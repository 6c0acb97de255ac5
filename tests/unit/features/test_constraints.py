# SPDX-License-Identifier: Apache-2.0
"""Distance constraints of a job: which atoms they hold, what the model reads, how they come out."""

import numpy as np
import pytest

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.errors import ChemistryError
from protenix_ms.features import FeatureOptions, assemble, build
from protenix_ms.features.constraints import CONTACT, Restraint, find_restraints
from protenix_ms.job import (
    AtomAddress,
    Contact,
    CovalentBond,
    Job,
    Ligand,
    Modification,
    Pocket,
    Polymer,
)

CHAIN = Polymer("protein", "GMYWK", count=2, modifications=(Modification("MSE", 2),))
NAG = Ligand(codes=("NAG",))


@pytest.fixture(scope="module")
def ccd():
    return ComponentDictionary.load()


def restraints_of(job, ccd):
    atoms = assemble(job, ccd, np.random.default_rng(0))
    return atoms, find_restraints(job, atoms)


def contact(first, second, largest=8.0, least=0.0):
    return Contact(AtomAddress(*first), AtomAddress(*second), largest, least)


def test_ends_in_words_and_their_atoms(ccd):
    job = Job("j", (CHAIN, Polymer("dna", "GA"), NAG), contacts=(
        contact((1, 3, None, 1), (2, 2, None, 1)), contact((1, 2, "SE", 2), (3, 1, "O3", 1)),
        contact((3, 1, None, 1), (1, 1, None, 2))))
    atoms, (residues, selenium, ligand) = restraints_of(job, ccd)
    assert residues.ends == ("A TYR 3", "C DA 2")
    assert atoms.atom_name[residues.first] == "CA" and atoms.atom_name[residues.second] == "C1'"
    assert selenium.ends == ("B MET 2 SD", "D NAG 1 O3")
    assert ligand.first == np.flatnonzero(atoms.chain_id == "D")[0]


def test_least_and_largest_distance_count():
    """A constraint is satisfied from its least to its largest distance."""
    x = np.array([[0, 0, 0], [9, 0, 0], [0, 3, 4.0]])
    ends, one = ("A", "B"), np.array([0])
    for limits, good in (((0.0, 5.0), True), ((5.0, 6.0), True), ((0.0, 4.9), False),
                         ((5.1, 9.0), False)):
        result = Restraint(CONTACT, ends, one, np.array([2]), limits).measure(x)
        assert result["distance"] == 5 and result["satisfied"] is good
    assert Restraint(CONTACT, ends, one, np.array([1, 2]), (0.0, 5.0)).measure(x)["distance"] == 5


def test_a_model_without_constraints_keeps_its_tokens(ccd):
    job = Job("j", (CHAIN, NAG), contacts=(contact((1, 4, "CZ2", 1), (2, 1, "C1", 1)),))
    plain = build(Job("j", job.entities), ccd, np.random.default_rng(0))
    ignored, used = (build(job, ccd, np.random.default_rng(0), FeatureOptions(use_constraints=use))
                     for use in (False, True))
    assert ignored.features.keys() == plain.features.keys()
    for name, value in plain.features.items():
        np.testing.assert_array_equal(ignored.features[name], value, err_msg=name)
    assert len(used.tokens) == len(plain.tokens) + 13  # tryptophan has 14 atoms
    assert used.features["constraint_feature/contact_atom"].any()
    assert len(ignored.restraints) == len(used.restraints) == 1


def test_pocket_counts_from_token_centres(ccd):
    pocket = Pocket((2, 1), (AtomAddress(1, 3, None, 1), AtomAddress(1, 5, None, 2)), 6.0)
    job = Job("j", (CHAIN, Polymer("protein", "GASG")), pocket=pocket)
    atoms, (first, second) = restraints_of(job, ccd)
    assert first.ends == ("chain C", "A TYR 3") and second.ends == ("chain C", "B LYS 5")
    assert atoms.atom_name[first.first].tolist() == ["CA"] * 4
    example = build(job, ccd, np.random.default_rng(0))
    feature = example.features["constraint_feature/pocket"][..., 0]
    assert np.argwhere(feature).tolist() == [[i, j] for i in range(10, 14) for j in (2, 9)]
    assert set(feature[feature > 0].tolist()) == {6.0}


def test_an_atom_that_a_bond_has_cost_is_named(ccd):
    bond = CovalentBond(AtomAddress(1, 1, "ND2"), AtomAddress(2, 1, "C1"))
    job = Job("j", (Polymer("protein", "NG"), NAG), bonds=(bond,),
              contacts=(contact((1, 2, None, 1), (2, 1, "O1", 1)),))
    with pytest.raises(ChemistryError, match="no atom O1 in NAG.*O[0-9]"):
        restraints_of(job, ccd)
