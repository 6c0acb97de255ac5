# SPDX-License-Identifier: Apache-2.0
"""Entries: what we write can be read back and trained on; stores, refusals, augmentation."""

from dataclasses import replace

import numpy as np
import pytest

from protenix_ms.data import CropOptions, ExampleOptions, Symmetries, read_entry
from protenix_ms.data.constraints import ConstraintSampling, PairSampling
from protenix_ms.data.crop import EmptyCropError
from protenix_ms.data.entry import read_about, read_prepared, write_entry
from protenix_ms.data.example import (
    anonymous_ligand_names,
    shuffled_copies,
    shuffled_molecules,
    training_example,
)
from protenix_ms.data.index import entry_rows
from protenix_ms.errors import InputError


@pytest.fixture(scope="module")
def entry(deposit_files, ccd):
    return read_entry(deposit_files / "1abc.cif", ccd)


def test_our_own_output_is_an_entry(entry, deposit_files, ccd):
    whole = read_entry(deposit_files / "1abc.cif", ccd, filtered=False)
    assert entry.resolution == 2.5
    assert len(entry.sequences) == 3 and entry.sequences["1"] == entry.sequences["2"]
    assert entry.n_token == 20 + 20 + 22 + 31 + 1
    assert len(whole.atoms) == len(entry.atoms)
    assert entry.atoms.is_resolved.all()


def test_store_gives_the_entry_back(entry, ccd, tmp_path):
    path = tmp_path / "1abc.npz"
    rows = entry_rows(entry)
    write_entry(path, entry, "digest", rows)
    again = read_prepared(path, ccd)
    assert replace(again, atoms=entry.atoms) == entry
    for name, column in vars(again.atoms).items():
        np.testing.assert_array_equal(column, getattr(entry.atoms, name), err_msg=name)
        assert column.dtype.kind == getattr(entry.atoms, name).dtype.kind
    about = read_about(path)
    assert about["rows"] == rows and about["source"] == "digest"


@pytest.mark.parametrize("spoil", [
    lambda path: path.write_bytes(path.read_bytes()[:-200]),
    lambda path: path.write_bytes(b"not a zip"),
    lambda path: np.savez(path, about=np.array(b'{"format": 99}')),
    lambda path: np.savez(path, about=np.array(b"{")),
    lambda path: path.unlink(),
])
def test_damaged_stores_are_refused(spoil, entry, ccd, tmp_path):
    path = tmp_path / "1abc.npz"
    write_entry(path, entry, "digest", [])
    spoil(path)
    with pytest.raises(InputError, match=r"prepare"):
        read_prepared(path, ccd)


@pytest.mark.parametrize("name", ["3bad.cif", "4not.cif"])
def test_bad_files_are_refused(name, deposit_files, ccd):
    with pytest.raises(InputError, match=name.split(".")[0]):
        read_entry(deposit_files / name, ccd)


def test_same_draws_same_bytes(entry, ccd):
    options = ExampleOptions(CropOptions(size=30), shuffle_molecules=True, shuffle_copies=True,
                             rename_ligands=True)
    examples = [
        training_example(entry, ["A"], np.random.default_rng(4), options, Symmetries(ccd))
        for _ in range(2)
    ]
    assert examples[0].features.keys() == examples[1].features.keys()
    for name, array in examples[0].features.items():
        np.testing.assert_array_equal(array, examples[1].features[name], err_msg=name)


@pytest.mark.parametrize("seed", range(6))
def test_crops_hold_whole_residues(entry, ccd, seed):
    options = ExampleOptions(CropOptions(size=40))
    rng = np.random.default_rng(seed)
    try:
        example = training_example(entry, ["A", "C"], rng, options, Symmetries(ccd))
    except EmptyCropError:
        return
    atoms = example.atoms
    assert 0 < len(example.tokens) <= 40
    assert example.features["token_bonds"].shape == (len(example.tokens),) * 2
    whole = np.bincount(entry.atoms.ref_space_uid)
    cropped = np.bincount(atoms.ref_space_uid, minlength=len(whole))
    assert ((cropped == 0) | (cropped == whole)).all()
    assert sum(len(columns) for columns in example.permutations) == len(atoms)
    for columns in example.permutations:
        assert (np.sort(columns, axis=0) == np.arange(len(columns))[:, None]).all()
        assert (columns[:, 0] == np.arange(len(columns))).all()


def test_full_labels_hold_every_stand_in(entry, ccd):
    """A contiguous crop with one copy has the labels of both copies to choose from."""
    options = ExampleOptions(CropOptions(size=20, weights=(1.0, 0.0, 0.0)))
    for seed in range(20):
        example = training_example(entry, ["A"], np.random.default_rng(seed), options,
                                Symmetries(ccd))
        if set(example.atoms.chain_id.tolist()) == {"A"}:
            break
    molecules = np.unique(example.labels_full["mol_id"])
    assert len(molecules) == 1 + (entry.atoms.entity_id[entry.atoms.chain_id == "B"][0] == "1")


def test_reference_chains_only(entry, ccd):
    options = ExampleOptions(CropOptions(size=0), reference_chains_only=True)
    example = training_example(entry, ["C"], np.random.default_rng(0), options, Symmetries(ccd))
    assert set(example.atoms.chain_id.tolist()) == {"C"}


def test_shuffles_keep_what_belongs_together(entry):
    atoms = entry.atoms
    orders = set()
    for seed in range(8):
        mixed = shuffled_molecules(atoms, np.random.default_rng(seed))
        assert sorted(mixed.coord[:, 0]) == sorted(atoms.coord[:, 0])
        runs = np.flatnonzero(np.diff(mixed.mol_id))
        assert len(runs) == atoms.mol_id.max()
        orders.add(tuple(dict.fromkeys(mixed.mol_id.tolist())))
        names = {tuple(sorted(pair)) for pair in mixed.atom_name[mixed.bonds[:, :2]].tolist()}
        assert names == {tuple(sorted(p)) for p in atoms.atom_name[atoms.bonds[:, :2]].tolist()}
        copies = shuffled_copies(atoms, np.random.default_rng(seed)).sym_id
        for entity in np.unique(atoms.entity_id):
            rows = atoms.entity_id == entity
            assert set(copies[rows]) == set(atoms.sym_id[rows])
    assert len(orders) > 3


def test_ligand_names_tell_nothing(entry):
    names = anonymous_ligand_names(entry.atoms)
    ligand = entry.atoms.mol_type == "ligand"
    assert (names[~ligand] == entry.atoms.atom_name[~ligand]).all()
    assert {"P1", "P2", "P3", "C1", "C10", "MG1"} <= set(names[ligand].tolist())
    assert "PG" not in names[ligand]


def test_constraints_come_with_an_example(entry, ccd):
    """Split residues have labels and permutations like all others."""
    near = (("PP", 6.0, 12.0), ("PL", 4.0, 10.0))
    sampling = ConstraintSampling(
        contact=PairSampling(1.0, near, 3.0), contact_atom=PairSampling(1.0, near, 2.0)
    )
    plain = ExampleOptions(CropOptions(size=0))
    constrained = replace(plain, constraints=sampling)
    examples = [
        training_example(entry, ["A"], np.random.default_rng(1), options, Symmetries(ccd))
        for options in (plain, constrained)
    ]
    n = [len(example.tokens) for example in examples]
    assert n[1] > n[0]
    features = examples[1].features
    assert features["constraint_feature/contact_atom"].shape == (n[1], n[1], 2)
    assert features["constraint_feature/contact"].any()
    assert features["pae_rep_atom_mask"].sum() == n[1] == features["token_bonds"].shape[0]
    assert examples[1].labels_full["pae_rep_atom_mask"].sum() == n[1]
    for name in ("coordinate", "coordinate_mask"):
        np.testing.assert_array_equal(examples[0].labels[name], examples[1].labels[name])
    last = [example.labels_full["entity_mol_id"].max() for example in examples]
    assert last[1] > last[0]
