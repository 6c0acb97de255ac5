# SPDX-License-Identifier: Apache-2.0
"""Readers of template hits and template structures, on small texts."""

import datetime

import numpy as np
import pytest
from template_text import atom, mmcif

from protenix_ms.constants.residue_atoms import ATOM37
from protenix_ms.errors import InputError
from protenix_ms.io.template_hits import read_hits
from protenix_ms.io.template_structure import TemplateFile, require_chain
from protenix_ms.job import TemplateStructure

ROW = "1abc_A/3-6 [subseq from] mol:protein length:9  X"
THREE = [(1, "GLY"), (2, "MSE"), (3, "ARG")]


def test_a_row_of_hmmsearch(tmp_path):
    (tmp_path / "h.a3m").write_text(f">{ROW}\nMk-\nTA\n>other\nMK\n>1XYZ_b{ROW[6:]}\nMKTA\n")
    listed = read_hits(tmp_path / "h.a3m")
    hit, upper = listed.hits
    assert (hit.name, hit.entry, hit.chain, hit.aligned) == ("1abc_A", "1abc", "A", 3)
    assert hit.sequence == "MKTA" and upper.entry == "1xyz"
    assert hit.query_positions.tolist() == [0, 2, 3]
    assert hit.hit_positions.tolist() == [2, 4, 5]
    assert (listed.skipped, listed.first_skipped) == (1, "other")


def test_an_empty_file_has_no_hits(tmp_path):
    (tmp_path / "h.a3m").write_text("")
    assert read_hits(tmp_path / "h.a3m").hits == ()
    (tmp_path / "h.hhr").write_text("Query x\n")
    assert read_hits(tmp_path / "h.hhr").hits == ()


def test_a_chain_and_its_gaps():
    atoms = [atom("CA", "GLY", 1, 1.5), atom("CA", "ARG", 3, 4.0), atom("N", "ARG", 3, 7.0),
             atom("CA", "GLY", 1, 99.0, model=2)]
    file = TemplateFile(mmcif(atoms, THREE), "here")
    assert file.release_date == datetime.date(2019, 5, 6) and file.names == ["a"]
    chain = file.chain("a")
    assert chain.sequence == "GXR" and file.chain("A").name == "a" and file.chain("b") is None
    assert chain.mask.sum(axis=1).tolist() == [1, 0, 2]
    assert chain.positions[2, ATOM37.index("CA"), 0] == 4 and chain.largest_step() == 2.5
    np.testing.assert_allclose(chain.centred().sum(axis=(0, 1)), 0, atol=1e-6)
    assert not chain.centred()[1].any()


@pytest.mark.parametrize("first, second, x", [(0.4, 0.6, 2.0), (0.6, 0.4, 1.0), (0.5, 0.5, 1.0)])
def test_the_most_occupied_alternative_is_taken(first, second, x):
    atoms = [atom("CA", "GLY", 1, 1, "A", first), atom("CA", "GLY", 1, 2, "B", second)]
    chain = TemplateFile(mmcif(atoms, THREE), "here").chain("a")
    assert chain.positions[0, ATOM37.index("CA"), 0] == x


def test_selenium_is_sulphur_and_arginine_is_named_anew():
    atoms = [atom("SE", "MSE", 2, 1), atom("CD", "ARG", 3, 0), atom("NH1", "ARG", 3, 5),
             atom("NH2", "ARG", 3, 3)]
    chain = TemplateFile(mmcif(atoms, THREE), "here").chain("a")
    assert chain.mask[1, ATOM37.index("SD")]
    assert chain.positions[2, [ATOM37.index("NH1"), ATOM37.index("NH2")], 0].tolist() == [3, 5]


def test_alternative_monomers_shift_residues_only_as_a_quirk():
    residues = [(1, "GLY"), (2, "SER"), (2, "THR"), (3, "ARG")]
    atoms = [atom("CA", "GLY", 1, 1), atom("CA", "ARG", 3, 3)]
    text = mmcif(atoms, residues)
    ours, theirs = (TemplateFile(text, "here", quirks).chain("a") for quirks in (False, True))
    assert (ours.sequence, theirs.sequence) == ("GSR", "GSTR")
    assert [np.flatnonzero(chain.mask.any(axis=1)).tolist() for chain in (ours, theirs)] == [
        [0, 2], [0, 2]]


@pytest.mark.parametrize("value", ["?", "nan", "1e30", "inf"])
def test_coordinates_that_are_none_count_as_unresolved(value):
    atoms = [atom("CA", "GLY", 1, value), atom("CA", "ARG", 3, 3)]
    chain = TemplateFile(mmcif(atoms, THREE), "here").chain("a")
    assert chain.mask.any(axis=1).tolist() == [False, False, True]


@pytest.mark.parametrize("dates", [("soon",), ("?",), ("2020-13-01",)])
def test_a_date_that_is_none_is_unknown(dates):
    text = mmcif([atom("CA", "GLY", 1, 1)], THREE, dates)
    assert TemplateFile(text, "here").release_date is None


@pytest.mark.parametrize("text, says", [
    ("HEADER PDB\n", "not a readable mmCIF"), ("", "not a readable mmCIF"),
    ("data_a\ndata_b\n", "not a readable mmCIF"), ("data_a\n_a.b 1\n", "_entity_poly_seq"),
    (mmcif([], [(1, "GLY")]), "no atoms of a protein"),
    (mmcif([atom("P", "DA", 1, 1)], [(1, "DA")]), "_entity_poly_seq of a protein"),
    (mmcif([atom("CA", "GLY", 1, 1)], [("x", "GLY")]), "not a readable mmCIF"),
])
def test_useless_structures_are_refused(text, says):
    with pytest.raises(InputError, match="here") as caught:
        TemplateFile(text, "here")
    assert says in caught.value.message and caught.value.fix


@pytest.mark.parametrize("change, says", [
    ({"chain": "q"}, "no protein chain 'q'"),
    ({"query_indices": (0, 1), "template_indices": (0,)}, "queryIndices has 2 numbers"),
    ({"query_indices": (3,), "template_indices": (0,)}, "queryIndices holds 3"),
    ({"query_indices": (0,), "template_indices": (-1,)}, "templateIndices holds -1"),
    ({"query_indices": (0, 0), "template_indices": (0, 1)}, "queryIndices repeats"),
])
def test_choices_that_do_not_fit_are_refused(change, says):
    text = mmcif([atom("CA", "GLY", 1, 1)], THREE)
    assert require_chain(TemplateStructure(text, "here", "x"), 3).name == "a"
    with pytest.raises(InputError, match=says):
        require_chain(TemplateStructure(text, "here", "x", **change), 3)


def test_several_chains_need_a_choice():
    atoms = [atom("CA", "GLY", 1, 1), atom("CA", "GLY", 1, 1, chain="B")]
    structure = TemplateStructure(mmcif(atoms, THREE), "here", "x")
    with pytest.raises(InputError, match='2 protein chains; choose one, .*"a", of a, b'):
        require_chain(structure, 3)
