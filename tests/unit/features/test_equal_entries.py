# SPDX-License-Identifier: Apache-2.0
"""Entities that are copies of an earlier one: numbers, names, conformers and bonds of chains."""

import numpy as np

from protenix_ms.features.build import build
from protenix_ms.job import AtomAddress, CovalentBond, Job, Ligand, Polymer


def _example(ccd, **change):
    """Make chains A, B, C, D with A and C the same protein, X and Y the same ligand."""
    chain, other = Polymer("protein", "MCKGA", ids=("A",)), Polymer("protein", "GSHM", ids=("B",))
    last = Polymer("protein", "MCKGA", count=2, ids=("C", "D"))
    ligands = [Ligand(smiles="CC(C)Cc1ccccc1O", ids=(name,)) for name in "XY"]
    job = Job("j", (chain, other, last, *ligands), entity_numbers=(1, 2, 1, 4, 4), **change)
    return build(job, ccd, np.random.default_rng(0))


def _per_chain(example):
    features = example.features
    columns = np.stack([features[key] for key in ("asym_id", "entity_id", "sym_id")], axis=1)
    return np.unique(columns, axis=0).tolist()


def test_copies_share_their_entity_and_chains_keep_their_order(ccd):
    example = _example(ccd)
    assert _per_chain(example) == [[0, 0, 0], [1, 1, 0], [2, 0, 1], [3, 0, 2], [4, 2, 0], [5, 2, 1]]
    assert list(dict.fromkeys(example.atoms.chain_id.tolist())) == list("ABCDXY")


def test_copies_of_a_ligand_have_one_name_and_one_conformer(ccd):
    atoms = _example(ccd).atoms
    first, second = (atoms[atoms.chain_id == name] for name in "XY")
    assert set(first.res_name) == set(second.res_name) == {"l01"}
    np.testing.assert_array_equal(first.ref_pos, second.ref_pos)


def test_a_bond_reaches_the_copy_it_names(ccd):
    ends = (AtomAddress(1, 2, "SG", 1), AtomAddress(1, 2, "SG", 3))
    atoms = _example(ccd, bonds=(CovalentBond(*ends),)).atoms
    chains = atoms.chain_id[atoms.bonds[:, :2]]
    between = chains[chains[:, 0] != chains[:, 1]]
    assert between.tolist() == [["A", "D"]]
