# SPDX-License-Identifier: Apache-2.0
"""Deposits as other programs write them, or as no program should: read, or dropped in words."""

import csv
import gzip
import os
import re
import warnings

import gemmi
import killed_run
import numpy as np
import pytest

from protenix_ms.cli.main import main
from protenix_ms.data import preparation, read_entry
from protenix_ms.data.assembly import count_motions, parse_operation
from protenix_ms.data.clusters import cluster
from protenix_ms.data.preparation import Preparation, prepare_files
from protenix_ms.errors import InputError

SEQUENCE, OTHER = "MKTAYIARQRGSDEFHLNPW", "GSHMSWLEEVRKALDNHPYCIT"  # of the deposit: twice, once


@pytest.fixture(scope="module")
def text(deposit_files):
    return (deposit_files / "1abc.cif").read_text()


@pytest.fixture
def entry(text, ccd, tmp_path):
    """Read the deposit after `edit(block)`; a warning of numpy fails the test."""

    def read(edit=lambda block: None, content=None, **options):
        document = gemmi.cif.read_string(text)
        edit(document.sole_block())
        path = tmp_path / "1abc.cif"
        path.write_bytes(document.as_string().encode() if content is None else content)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return read_entry(path, ccd, **options)

    return read


def sites(change):
    """Edit `_atom_site` by `change(columns)`."""

    def edit(block):
        table = block.get_mmcif_category("_atom_site.")
        change(table)
        block.set_mmcif_category("_atom_site.", table)

    return edit


def assembly(expression):
    def edit(block):
        table = block.get_mmcif_category("_pdbx_struct_assembly_gen.")
        block.set_mmcif_category("_pdbx_struct_assembly_gen.",
                                 table | {"oper_expression": [expression]})

    return edit


def seen(entry, residue, chain="A"):
    atoms = entry.atoms
    rows = (atoms.res_id == residue) & (atoms.chain_id == chain)
    return atoms.is_resolved[rows]


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "1e999", "1e30", "?", "."])
def test_an_atom_without_a_place_is_not_resolved(word, entry):
    def spoil(table):
        for row, place in enumerate(zip(table["label_asym_id"], table["label_seq_id"])):
            if place == ("A", "5"):
                table["Cartn_y"][row] = {"?": None, ".": False}.get(word, word)

    edited = entry(sites(spoil))
    assert not seen(edited, 5).any() and seen(edited, 4).all() and seen(edited, 6).all()
    assert np.isfinite(edited.atoms.coord).all()


def test_no_atom_with_a_place_is_a_reason(entry):
    with pytest.raises(InputError, match="no atom has finite coordinates"):
        entry(sites(lambda table: table.update(Cartn_x=["nan"] * len(table["id"]))))


@pytest.mark.parametrize("letters", ["BC", "12", "?A", "YX"])
def test_alternatives_are_chosen_by_residue(letters, entry):
    """Residue 4 has the letters A and B, residue 5 others: neither loses anything."""

    def double(table):
        rows = list(range(len(table["id"])))
        pairs = {"4": "AB", "5": letters}
        copies = [(row, k) for row in rows
                  for k in range(2 if table["label_seq_id"][row] in pairs else 1)]
        letter = [{"?": None}.get(x, x) if (x := pairs.get(table["label_seq_id"][row], "..")[k])
                  != "." else False for row, k in copies]
        for key, column in table.items():
            table[key] = [column[row] for row, _ in copies]
        table["label_alt_id"] = letter
        table["Cartn_z"] = [str(float(z) + k) for z, (_, k) in zip(table["Cartn_z"], copies)]

    edited, plain = entry(sites(double)), entry()
    assert seen(edited, 4).all() and seen(edited, 5).all() and len(edited.atoms) == len(plain.atoms)
    if letters == "BC":
        assert not seen(entry(sites(double), upstream_quirks=True), 5).any()


def without_tables(block):
    """Keep only the `_atom_site` loop, with the author's numbering."""
    table = block.get_mmcif_category("_atom_site.")
    for item in list(block):
        if item.loop is not None or item.pair is not None:
            item.erase()
    table["label_entity_id"] = [None] * len(table["id"])
    table["label_seq_id"] = [None] * len(table["id"])
    block.set_mmcif_category("_atom_site.", table)


@pytest.mark.parametrize("filtered", [True, False])
def test_polymers_of_a_file_without_entities(filtered, entry):
    edited, plain = entry(without_tables, filtered=filtered), entry(filtered=filtered)
    assert sorted(edited.sequences.values()) == sorted({SEQUENCE, OTHER})
    assert set(edited.polymers.values()) == {"polypeptide(L)"}
    assert edited.n_token == plain.n_token and len(edited.atoms) == len(plain.atoms)
    assert edited.atoms.is_resolved.all()


def test_a_gap_of_numbers_is_a_gap_of_the_sequence(entry):
    def loop_missing(block):
        sites(lambda t: [t.update({k: [v for v, n, c in zip(t[k], number, chain)
                                       if c != "C" or n not in ("7", "8")] for k in list(t)})
                         for number, chain in [(t["auth_seq_id"], t["auth_asym_id"])]])(block)
        without_tables(block)

    edited = entry(loop_missing)
    assert OTHER[:6] + "XX" + OTHER[8:] in edited.sequences.values()
    assert not seen(edited, 7, "C").any() and seen(edited, 9, "C").all()


@pytest.mark.parametrize("dropped", ["_entity_poly.", "_entity_poly_seq."])
def test_half_of_the_tables(dropped, entry):
    edited = entry(lambda block: block.set_mmcif_category(dropped, {}))
    assert set(edited.polymers.values()) == {"polypeptide(L)"}
    assert set(edited.sequences.values()) == {SEQUENCE, OTHER}


@pytest.mark.parametrize("wrap", [
    lambda text: b"\xef\xbb\xbf" + text, lambda text: text.decode().encode("utf-16"),
    gzip.compress,
])  # fmt: skip
def test_marks_and_compression_are_taken_off(wrap, text, entry):
    assert len(entry(content=wrap(text.encode())).atoms) == len(entry().atoms)


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"\xef\xbb\xbf", b"\0" * 100, b"data_\n",
                                     gzip.compress(b"x", mtime=0)[:-3], b"hello"])
def test_files_of_nothing_are_refused_by_type(content, entry):
    with pytest.raises(InputError):
        entry(content=content)


@pytest.mark.parametrize("expression", [
    "1-99999999999", "(1-100)(1-100)(1-100)(1-100)(1-100)", "1-" + "9" * 40,
    ",".join(["1"] * 2000), "(1,1)" * 300,
])  # fmt: skip
def test_copies_are_counted_before_they_are_made(expression, entry):
    with pytest.raises(InputError, match="at most 1000 chains"):
        entry(assembly(expression))
    assert len(entry(assembly(expression), filtered=False).atoms)


def test_many_lines_of_an_assembly_are_counted_together(entry):
    def edit(block):
        lines = {"assembly_id": ["1"] * 3000, "oper_expression": ["1"] * 3000,
                 "asym_id_list": ["A"] * 3000}
        block.set_mmcif_category("_pdbx_struct_assembly_gen.", lines)

    with pytest.raises(InputError, match="3000 polymer chains"):
        entry(edit)
    assert count_motions(parse_operation("(1-60)(X0,P)")) == 120


def endless_motion(block):
    table = block.get_mmcif_category("_pdbx_struct_oper_list.")
    block.set_mmcif_category("_pdbx_struct_oper_list.", table | {"matrix[1][1]": ["1e999"]})


@pytest.mark.parametrize(("edit", "reason"), [
    *((assembly(bad), re.escape(f"oper_expression {bad!r}"))
      for bad in ("5-1", "a-b", "(1-", "1,,2", "-5", "9-1", "1-3-5", "(1))", "")),
    (assembly("7"), "unknown operation 7"), (assembly("9" * 45000), "operation 9{80};"),
    (endless_motion, "not finite"),
    (sites(lambda t: t.update(label_seq_id=["9" * 20] * len(t["id"]))), "has label_seq_id 9{20}"),
])
def test_other_nonsense_is_refused_by_type(edit, reason, entry):
    with pytest.raises(InputError, match=reason):
        entry(edit)


def spoilt(column, value):
    """Edit a column in the first eight rows; False is "." and None is "?"."""
    return sites(lambda t: t[column].__setitem__(slice(8), [value] * 8))


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("value", [None, False, "9999", "x"])
def test_entities_of_rows_come_from_their_chain(table, value, entry):
    def edit(block):
        spoilt("label_entity_id", value)(block)
        if not table:
            block.set_mmcif_category("_struct_asym.", {})

    edited, plain = entry(edit), entry()
    assert edited.sequences == plain.sequences
    np.testing.assert_array_equal(edited.atoms.coord, plain.atoms.coord)
    np.testing.assert_array_equal(edited.atoms.chain_type, plain.atoms.chain_type)


def test_rows_without_a_model_are_of_the_first(entry):
    assert entry(spoilt("pdbx_PDB_model_num", None)).atoms.is_resolved.all()


@pytest.mark.parametrize(("column", "value", "reason"), [
    ("pdbx_PDB_model_num", "9999", "model 9999 has 8 atoms"),
    ("label_seq_id", "-3", "8 atoms of polymer 1 .* label_seq_id -3"),
    ("label_seq_id", "9999", "8 atoms .* label_seq_id 9999"),
    ("label_seq_id", None, "8 atoms .* label_seq_id ?"),
    ("label_asym_id", None, "8 atoms .* label_asym_id ?"),
    ("label_asym_id", "9999", "8 atoms .* label_asym_id 9999"),
])
def test_atoms_without_a_place_are_a_reason(column, value, reason, entry):
    with pytest.raises(InputError, match=reason):
        entry(spoilt(column, value))


def test_two_data_blocks_are_said(text, entry):
    with pytest.raises(InputError, match="2 data blocks, not one"):
        entry(content=(text + text.replace("data_", "data_x", 1)).encode())


def test_numbers_may_have_an_uncertainty(entry):
    def uncertain(block):
        sites(lambda t: t.update(Cartn_x=[f"{x}(12)" for x in t["Cartn_x"]]))(block)
        table = block.get_mmcif_category("_pdbx_struct_oper_list.")
        block.set_mmcif_category("_pdbx_struct_oper_list.", table | {"vector[1]": ["0.0(1)"]})
        block.set_pair("_refine.ls_d_res_high", "2.5(1)")

    edited = entry(uncertain)
    np.testing.assert_array_equal(edited.atoms.coord, entry().atoms.coord)
    assert edited.resolution == 2.5


def test_a_bad_file_costs_itself_alone(text, tmp_path, capsys):
    folder, output = tmp_path / "cif", tmp_path / "out"
    folder.mkdir()
    (folder / "good.cif").write_text(text)
    (folder / "x.cif").mkdir()
    (folder / "y.cif").symlink_to(tmp_path / "absent")
    (folder / "z.cif").write_text("")
    os.mkfifo(folder / "pipe.cif")
    (folder / os.fsdecode(b"\xff, a.cif")).write_text("#")
    words = ["prepare-data", str(folder), "--output", str(output), "--processes", "1"]
    assert main([*words, "--no-mmseqs"]) == 0
    rows = list(csv.reader((output / "dropped.csv").read_text().splitlines()))
    reasons = {name: reason for name, reason in rows[1:]}
    assert rows[0] == ["name", "reason"] and set(reasons) == {"x", "y", "z", "pipe", r"\udcff, a"}
    assert "folder" in reasons["x"] and "link to nothing" in reasons["y"]
    assert "no mmCIF data" in reasons["z"] and "regular file" in reasons["pipe"]
    assert "1 entries made" in capsys.readouterr().out


def test_without_proteins_mmseqs_is_not_called():
    assert cluster([], "/no/such/mmseqs") == {}


def test_a_process_that_dies_costs_its_file(monkeypatch, tmp_path):
    monkeypatch.setattr(preparation, "prepare_file", killed_run.prepare_or_die)
    files = [tmp_path / f"{name}.cif" for name in ("a", "bad", "b", "c")]
    outcomes = {o.name: o for o in prepare_files(files, Preparation(tmp_path), 2)}
    assert {name: o.status for name, o in outcomes.items()} == {
        "a": "made", "b": "made", "c": "made", "bad": "dropped"}
    assert "died" in outcomes["bad"].reason
