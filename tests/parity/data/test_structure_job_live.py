# SPDX-License-Identifier: Apache-2.0
"""Jobs of structures beside upstream's `json`: equal as parsed JSON, live and as recorded."""

import gzip
import importlib.util
import json
from pathlib import Path

import gemmi
import pytest

from protenix_ms.data.structure_job import Selection, job_of_structure

_spec = importlib.util.spec_from_file_location("edits", Path(__file__).with_name("edits.py"))
edits = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(edits)

DEPOSITS = (
    "102m", "1aki", "1ay7", "1bna", "1igy", "1k1a", "1k6p", "1mol",
    "2lwu", "3o5r", "4gxy", "5ugo", "5zng", "5zyh", "7zzx", "8f9h",
)  # fmt: skip
PLAIN = Selection()
ALL = Selection("1", "first", True)


@pytest.fixture(scope="module")
def convert(parser):
    """`convert(path, selection)`: what upstream makes of an mmCIF file."""
    from protenix.data.inference.json_maker import cif_to_input_json

    def call(path: Path, selection: Selection) -> dict:
        return cif_to_input_json(str(path), selection.assembly, selection.alternative,
                                 include_discont_poly_poly_bonds=selection.polymer_bonds)

    return call


def unpacked(source: Path, folder: Path) -> Path:
    target = folder / source.name.removesuffix(".gz")
    target.write_bytes(gzip.decompress(source.read_bytes()))
    return target


@pytest.mark.parametrize("name", DEPOSITS)
def test_deposit(name, convert, ccd, deposits, tmp_path):
    path = unpacked(deposits / f"{name}.cif.gz", tmp_path)
    selection = ALL if DEPOSITS.index(name) % 2 else PLAIN
    assert job_of_structure(path, ccd, selection)[0] == convert(path, selection)


@pytest.mark.parametrize("name", ["1dix", "1gya", "1l2y", "2axd"])
def test_example(name, convert, ccd, shared_examples, tmp_path):
    path = unpacked(shared_examples / "cif" / f"{name}.cif.gz", tmp_path)
    assert job_of_structure(path, ccd, ALL)[0] == convert(path, ALL)


@pytest.mark.parametrize("name", ["102m", "102m_assembly1", "102m_discont", "1igy",
                                  "1igy_assembly1", "1igy_discont", "3o5r", "4gxy"])
def test_recorded(name, ccd, golden, deposits):
    entry, _, option = name.partition("_")
    selection = Selection("1" if option == "assembly1" else None, "first", option == "discont")
    job, _ = job_of_structure(deposits / f"{entry}.cif.gz", ccd, selection)
    assert [job] == json.loads((golden / "json" / f"{name}.json").read_text())


def with_letters(block: gemmi.cif.Block) -> None:
    """Every third residue has alternatives, those of the ligands of other letters."""
    table = block.get_mmcif_category("_atom_site.")
    letters = ["B" if seq in (None, False) else "A" if int(seq) % 3 == 0 else "."
               for seq in table["label_seq_id"]]
    block.set_mmcif_category("_atom_site.", {**table, "label_alt_id": letters})


@pytest.mark.parametrize("letter", ["first", "B"])
def test_alternatives(letter, convert, ccd, deposits, tmp_path):
    """A chain that has only other letters is lost as in upstream, and named."""
    path = edits.edited(deposits / "3o5r.cif.gz", tmp_path / "3o5r.cif", with_letters)
    selection = Selection(None, letter, False)
    job, notes = job_of_structure(path, ccd, selection)
    assert job == convert(path, selection)
    assert ("--altloc" in "".join(notes)) == (letter == "first")
    assert ("ligand" in str(job)) == (letter == "B")


@pytest.mark.parametrize(("name", "kind"), [("1ay7", "polypeptide(D)"), ("5ugo", "other")])
def test_kinds_that_a_job_lacks_are_named(name, kind, convert, ccd, deposits, tmp_path):
    def edit(block: gemmi.cif.Block) -> None:
        table = block.get_mmcif_category("_entity_poly.")
        table["type"][0] = kind
        block.set_mmcif_category("_entity_poly.", table)

    path = edits.edited(deposits / f"{name}.cif.gz", tmp_path / f"{name}.cif", edit)
    job, notes = job_of_structure(path, ccd, PLAIN)
    assert job == convert(path, PLAIN)
    assert any(kind in note for note in notes)


def test_copies_of_an_assembly(convert, ccd, deposits, tmp_path):
    path = edits.edited(deposits / "1igy.cif.gz", tmp_path / "1igy.cif", edits.copies([0.0, 500.0]))
    selection = Selection("1", "first", False)
    assert job_of_structure(path, ccd, selection)[0] == convert(path, selection)
    ours = job_of_structure(path, ccd, ALL)[0]["covalent_bonds"]
    # upstream takes rows of the polymers for rows of all atoms: its second copy bonds sugars
    disulfides = [bond for bond in ours if bond["atom1"] == bond["atom2"] == "SG"]
    assert sum(1 if "copy1" in bond else 4 for bond in disulfides) == 2 * 18
