# SPDX-License-Identifier: Apache-2.0
"""Jobs of structures: what is left out is named, bonds keep their copies, bad files are refused."""

import json

import gemmi
import pytest

from protenix_ms.cli.main import main
from protenix_ms.data.structure_job import Selection, job_of_structure, merge_copies
from protenix_ms.errors import InputError
from protenix_ms.io import read_jobs

SEQUENCE, OTHER = "MKTAYIARQRGSDEFHLNPW", "GSHMSWLEEVRKALDNHPYCIT"  # of the deposit: twice, once

@pytest.fixture(scope="module")
def block(deposit_files):
    """A fresh copy of a deposit of three chains, ATP and MG."""
    text = (deposit_files / "1abc.cif").read_text()
    return lambda: gemmi.cif.read_string(text)


@pytest.fixture
def convert(block, ccd, tmp_path):
    """`convert(edit, selection)`: job and notes of the deposit, changed by `edit`."""

    def call(edit=lambda block: None, selection=Selection()):  # noqa: B008 (frozen)
        document = block()
        edit(document.sole_block())
        path = tmp_path / "1abc.cif"
        document.write_file(str(path))
        return job_of_structure(path, ccd, selection)

    return call


def column(category: str, item: str, change):
    """An edit of one column."""

    def edit(block: gemmi.cif.Block) -> None:
        table = block.get_mmcif_category(category)
        table[item] = [change(value, i) for i, value in enumerate(table[item])]
        block.set_mmcif_category(category, table)

    return edit


def test_a_plain_deposit(convert):
    job, notes = convert()
    assert job == {
        "sequences": [*[{"proteinChain": {"sequence": SEQUENCE, "count": 1}}] * 2,
                      {"proteinChain": {"sequence": OTHER, "count": 1}},
                      {"ligand": {"ligand": "CCD_ATP", "count": 1}},
                      {"ligand": {"ligand": "CCD_MG", "count": 1}}], "name": "1abc"}
    assert notes == ()


def test_what_a_job_cannot_have_is_named(convert):
    job, notes = convert(column("_entity_poly.", "type",
                                 lambda _, i: f"polypeptide({'LD'[i == 1]})"))
    assert len(job["sequences"]) == 4
    assert notes == ("entity 2 (chain B) is left out: a job cannot have a polypeptide(D)",)


def test_aids_of_crystallization_are_named(convert):
    def edit(block: gemmi.cif.Block) -> None:
        column("_exptl.", "method", lambda *_: "X-RAY DIFFRACTION")(block)
        for item in ("label_comp_id", "auth_comp_id"):
            column("_atom_site.", item, lambda name, _: "CD" if name == "MG" else name)(block)

    job, notes = convert(edit)
    assert len(job["sequences"]) == 4
    assert notes == ("unknown components and aids of crystallization are left out: 1 CD",)


@pytest.mark.parametrize(("edit", "selection", "reason"), [
    (column("_entity_poly.", "type", lambda *_: "other"), Selection(), None),
    (column("_atom_site.", "label_alt_id", lambda *_: "B"), Selection(None, "A"),
     "no alternative 'A'; .* has B"),
    (lambda block: None, Selection(None, "A"), "the file has none"),
    (lambda block: None, Selection("7"), "no assembly 7; the file defines 1"),
    (lambda block: None, Selection(""), "no assembly ; the file defines 1"),
])
def test_selections_that_the_file_lacks(edit, selection, reason, convert):
    if reason is None:
        assert len(convert(edit, selection)[0]["sequences"]) == 2
    else:
        with pytest.raises(InputError, match=reason):
            convert(edit, selection)


def test_nothing_usable_is_refused(convert):
    def edit(block: gemmi.cif.Block) -> None:
        table = block.get_mmcif_category("_atom_site.")
        rows = [i for i, entity in enumerate(table["label_entity_id"]) if entity == "1"]
        block.set_mmcif_category("_atom_site.",
                                 {key: [values[i] for i in rows] for key, values in table.items()})
        column("_entity_poly.", "type", lambda *_: "other")(block)

    with pytest.raises(InputError, match="no entity is left of which a job can be made.*other"):
        convert(edit)


def test_a_pdb_file_gives_the_same_job(block, ccd, tmp_path):
    structure = gemmi.make_structure_from_block(block().sole_block())
    path = tmp_path / "1abc.pdb"
    path.write_text(structure.make_pdb_string())
    job, notes = job_of_structure(path, ccd)
    assert [*job["sequences"][0]["proteinChain"].values()] == [SEQUENCE, 2]
    assert [next(iter(e)) for e in job["sequences"]] == ["proteinChain"] * 2 + ["ligand"] * 2


@pytest.mark.parametrize(("name", "text", "reason"), [
    ("a.txt", "data_", r"'.txt' is not read; give .cif, .mmcif, .pdb"),
    ("a.pdb", "REMARK\n", "the file has no atoms"),
    ("a.pdb", "ATOM  x", "no atoms|not a readable"),
    ("b.pdb", "ATOM  x\n", r"not a readable PDB file \(Problem in line 1[^\n]*check the file"),
    ("w.pdb", "HETATM    1  O   HOH A   1       0.000   0.000   0.000  1.00  0.00           O\n",
     r"w.pdb: nothing is left of which"),
    ("a.cif", "hello", "not a readable mmCIF"), ("a.cif.gz", "\x1f", "not a readable mmCIF"),
])
def test_other_files_are_refused(name, text, reason, ccd, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=reason):
        job_of_structure(tmp_path / name, ccd)


def bond(number, first, second, entity=2):
    return {"entity1": 1, "position1": number, "atom1": "SG", "copy1": first,
            "entity2": entity, "position2": number, "atom2": "C1", "copy2": second}


@pytest.mark.parametrize(("bonds", "merged"), [
    ([bond(3, 1, 1), bond(3, 2, 2)], 1),
    ([bond(3, 1, 2), bond(3, 2, 1)], 1),  # the same molecule, with copies of 2 exchanged
    ([bond(3, 1, 2), bond(3, 2, 1), bond(4, 1, 1), bond(4, 2, 2)], 3),
    ([bond(3, 1, 2, 1), bond(3, 2, 1, 1)], 2),  # not a bond inside each copy
    ([bond(3, 1, 2), bond(3, 2, 1), bond(4, 1, 2)], 3),  # the last one would mean another copy
    ([bond(3, 1, 1)], 1),
])
def test_bonds_keep_their_copies_where_they_matter(bonds, merged):
    assert len(merge_copies(bonds, {1: 2, 2: 2})) == merged


def test_the_command(block, tmp_path, capsys):
    source, target = tmp_path / "1abc.cif", tmp_path / "out" / "job.json"
    block().write_file(str(source))
    assert main(["json", str(source), "--output", str(target)]) == 0
    assert json.loads(target.read_text())[0]["name"] == "1abc"
    assert [job.name for job in read_jobs(target)] == ["1abc"]
    assert main(["json", str(tmp_path / "2abc.cif"), "--output", str(target)]) == 2
    assert "no such file" in capsys.readouterr().err
    content = source.read_bytes()
    assert main(["json", str(source), "--output", str(tmp_path / "out" / ".." / "1abc.cif")]) == 2
    assert "the structure itself" in capsys.readouterr().err and source.read_bytes() == content
