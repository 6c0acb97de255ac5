# SPDX-License-Identifier: Apache-2.0
"""Annotations, tokens and molecules on tables small enough to know the answer."""

import numpy as np
import pytest

from protenix_ms.constants.restypes import RESTYPE_INDEX
from protenix_ms.errors import ChemistryError
from protenix_ms.features.annotation import annotate
from protenix_ms.features.assembly import chain_names
from protenix_ms.features.bonds import bond_features
from protenix_ms.features.molecules import assign_molecules
from protenix_ms.features.tokens import token_features, tokenize
from protenix_ms.job import Job, Ligand, Polymer

GLY, ALA, SEP = ("GLY", None), ("ALA", None), ("SEP", ["N", "CA", "CB", "P"])
GOL = ("GOL", ["C1", "C2", "O1"])



def test_tokens_of_a_modified_chain_and_a_ligand(annotated):
    tokens = tokenize(annotated([GLY, SEP, ALA], [GOL]))
    assert tokens.atom_to_token.tolist() == [0] * 4 + [1, 2, 3, 4] + [5] * 5 + [6, 7, 8]
    assert tokens.atomwise.tolist() == [False, True, True, True, True, False, True, True, True]
    names = ["GLY", *["SER"] * 4, "ALA", *["UNK"] * 3]
    assert tokens.restype.tolist() == [RESTYPE_INDEX[name] for name in names]
    assert tokens.residue_index.tolist() == [1, 2, 2, 2, 2, 3, 1, 1, 1]
    assert tokens.asym_id.tolist() == [0] * 6 + [1] * 3
    features = token_features(tokens)
    assert features["restype"].sum() == len(tokens)


def test_a_chain_has_the_type_of_most_of_its_atoms(annotated):
    atoms = annotated([GLY, ("UNL", ["C1", "C2"])], [GOL])
    assert set(atoms.chain_type[:6]) == {"protein"}
    assert atoms.mol_type[5] == "ligand"
    assert set(atoms.chain_type[6:]) == {"ligand"}


def test_first_atom_represents_a_residue_without_beta_carbon(annotated):
    atoms = annotated([GLY, ("ALA", ["N", "CA", "C", "O"]), ALA])
    representatives = np.flatnonzero(atoms.distogram_rep_atom_mask)
    assert atoms.atom_name[representatives].tolist() == ["CA", "N", "CB"]


def test_a_standard_residue_with_a_foreign_atom_is_refused(table, few_components):
    with pytest.raises(ChemistryError, match="unknown atom XX"):
        annotate(table([GLY, ("ALA", ["N", "CA", "XX"])]), few_components)


def test_a_standard_residue_without_centre_is_refused(annotated):
    with pytest.raises(ChemistryError, match="residue ALA has 0 centre atoms"):
        tokenize(annotated([GLY, ("ALA", ["N", "C", "O"])]))


def test_copies_of_an_entity_are_numbered(annotated):
    atoms = annotated([GLY], [ALA], [GLY], entities=[2, 10, 2])
    assert tokenize(atoms).sym_id.tolist() == [0, 0, 1]
    assert tokenize(atoms).entity_id.tolist() == [1, 0, 1]  # "10" sorts before "2"
    assert atoms.entity_mol_id.tolist() == [0] * 4 + [1] * 5 + [0] * 4
    assert atoms.mol_atom_index.tolist() == [*range(4), *range(5), *range(4)]


def test_a_bonded_ligand_joins_its_polymer_only_when_it_is_no_polymer(table, few_components):
    atoms = annotate(table([GLY], [GOL], [GLY], bonds=[(1, 4), (0, 7)]), few_components)
    alone = assign_molecules(atoms, {"1", "2", "3"}).mol_id
    assert alone.tolist() == [0] * 4 + [1] * 3 + [2] * 4
    joined = assign_molecules(atoms, {"1", "3"})
    assert joined.mol_id.tolist() == [0] * 7 + [1] * 4
    assert joined.entity_mol_id.tolist() == [0] * 7 + [1] * 4


def test_bonds_told_to_the_model(annotated):
    cysteine = ("CYS", None)
    bonds = [
        (0, 1),  # inside a standard residue
        (2, 6),  # peptide bond
        (5, 23),  # disulfide across the chain
        (11, 24),  # ligand to polymer
        (25, 26),  # inside the ligand
        (1, 27),  # ion to polymer
    ]
    chain = [cysteine, cysteine, cysteine, cysteine]
    atoms = annotated(chain, [GOL], [("MG", ["MG"])], bonds=bonds)
    features = bond_features(atoms, tokenize(atoms))
    pairs = np.argwhere(np.triu(features["token_bonds"])).tolist()
    assert pairs == [[0, 3], [0, 7], [1, 4], [5, 6]]
    assert np.array_equal(features["token_bonds"], features["token_bonds"].T)
    assert np.argwhere(features["bond_mask"]).tolist() == [[11, 24], [24, 11]]


def test_chain_names_avoid_those_of_the_user():
    ligand = Ligand(codes=("GOL",), count=2, ids=("B", "AA"))
    job = Job("x", (Polymer("protein", "G", 2), ligand, Polymer("protein", "A", 26)))
    names = list(chain_names(job))
    assert names[:5] == ["A", "C", "B", "AA", "D"]
    assert names[-3:] == ["AB", "AC", "AD"]
    assert len(set(names)) == len(names) == 30
