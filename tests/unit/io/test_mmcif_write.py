# SPDX-License-Identifier: Apache-2.0
"""mmCIF files hold the same atoms for gemmi, biotite and Biopython, and the bonds of ligands."""

import io
from dataclasses import dataclass, replace

import gemmi
import numpy as np
import pytest

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.io.mmcif_write import StructureInfo, mmcif_text, write_mmcif


@dataclass(frozen=True, kw_only=True)
class TypedAtoms(AtomTable):
    """Holds atoms and the type of their chains."""

    kind: np.ndarray


@pytest.fixture(params=["small", "covalent", "smiles"])
def recorded(request, golden) -> TypedAtoms:
    """Read the atoms of a recorded job; single bonds where reference atoms of a residue are
    close."""
    path = golden / "features" / request.param / "atoms.npz"
    if not path.is_file():
        pytest.skip(f"no recording at {path}")
    atom = {k.removeprefix("atom/"): v for k, v in np.load(path).items()}
    same = atom["ref_space_uid"][:, None] == atom["ref_space_uid"][None]
    apart = np.linalg.norm(atom["ref_pos"][:, None] - atom["ref_pos"][None], axis=-1)
    pairs = np.argwhere(np.triu(same & (apart < 1.95), 1))
    return TypedAtoms(
        atom["atom_name"],
        atom["element"],
        atom["res_name"],
        atom["chain_id"],
        atom["label_entity_id"],
        atom["res_id"],
        atom["ref_charge"],
        atom["hetero"],
        atom["ref_pos"],
        atom["ref_pos"],
        atom["ref_mask"],
        bonds=np.insert(pairs, 2, 1, axis=1).astype(np.int32),
        kind=atom["chain_mol_type"],
    )


def info_of(atoms: AtomTable, **more) -> StructureInfo:
    kinds = dict(zip(atoms.entity_id.tolist(), atoms.kind.tolist()))
    return StructureInfo("a job", "made for a test", kinds, **more)


@pytest.fixture
def text(recorded) -> str:
    rng = np.random.default_rng(0)
    coordinates = rng.uniform(-900, 900, (len(recorded), 3)).astype(np.float32)
    return mmcif_text(recorded, coordinates, np.linspace(0, 100, len(recorded)), info_of(recorded))


def test_gemmi_biotite_and_biopython_read_the_same_atoms(text, recorded, tmp_path):
    structure = gemmi.make_structure_from_block(gemmi.cif.read_string(text).sole_block())
    assert structure[0].count_atom_sites() == len(recorded)
    biotite_cif = pytest.importorskip("biotite.structure.io.pdbx")
    atoms = biotite_cif.get_structure(
        biotite_cif.CIFFile.read(io.StringIO(text)), model=1, extra_fields=["b_factor", "charge"]
    )
    assert len(atoms) == len(recorded)
    assert (atoms.atom_name == recorded.atom_name).all()
    assert (atoms.charge == recorded.charge).all()
    bio = pytest.importorskip("Bio.PDB.MMCIFParser")
    path = tmp_path / "x.cif"
    path.write_text(text)
    read = list(bio.MMCIFParser(QUIET=True).get_structure("x", path).get_atoms())
    assert len(read) == len(recorded)
    np.testing.assert_allclose([a.bfactor for a in read], np.linspace(0, 100, len(read)), atol=0.01)


def test_entities_and_sequences(text, recorded):
    structure = gemmi.make_structure_from_block(gemmi.cif.read_string(text).sole_block())
    structure.setup_entities()
    polymers = [e for e in structure.entities if e.entity_type == gemmi.EntityType.Polymer]
    for entity in polymers:
        rows = recorded[recorded.entity_id == entity.name]
        chain = rows[rows.chain_id == rows.chain_id[0]]
        assert entity.full_sequence == chain.res_name[chain.residue_starts()].tolist()
    expected = {e for e, k in zip(recorded.entity_id, recorded.kind) if k != "ligand"}
    assert {e.name for e in polymers} == expected


def test_biotite_reads_the_ligand_bonds(text, recorded):
    pdbx = pytest.importorskip("biotite.structure.io.pdbx")
    read = pdbx.get_structure(pdbx.CIFFile.read(io.StringIO(text)), model=1, include_bonds=True)
    ligand = recorded.kind == "ligand"
    ours = {tuple(b[:2]) for b in recorded.bonds.tolist() if ligand[b[0]]}
    theirs = {tuple(sorted(b[:2])) for b in read.bonds.as_array().tolist() if ligand[b[0]]}
    assert ours and ours <= {tuple(map(int, b)) for b in theirs}


def two_residues(first=("ALA", "CB"), second=("GOL", "O1"), order=1) -> AtomTable:
    """Make two atoms of two residues of two chains, bonded."""
    zeros = np.zeros((2, 3), np.float32)
    return TypedAtoms(
        np.array([first[1], second[1]]),
        np.array(["C", "O"]),
        np.array([first[0], second[0]]),
        np.array(["A", "B"]),
        np.array(["1", "2"]),
        np.array([1, 1]),
        np.array([0, -1]),
        np.array([False, True]),
        zeros,
        zeros,
        np.ones(2, np.int64),
        bonds=np.array([[0, 1, order]], np.int32),
        kind=np.array(["protein", "ligand"]),
    )


def test_covalent_links_are_connections():
    atoms = two_residues()
    coordinates = np.array([[0, 0, 0], [1.5, 0, 0]], np.float32)
    text = mmcif_text(atoms, coordinates, np.array([50.0, 60.0]), info_of(atoms))
    structure = gemmi.make_structure_from_block(gemmi.cif.read_string(text).sole_block())
    (link,) = structure.connections
    assert link.type == gemmi.ConnectionType.Covale
    assert link.partner1.atom_name == "CB" and link.partner2.res_id.name == "GOL"
    assert "covale1" in text and "1.500" in text


def test_disulfides_are_named_and_backbone_is_not_a_connection():
    atoms = two_residues(("CYS", "SG"), ("CYS", "SG"))
    sulphur = replace(atoms, kind=np.array(["protein", "protein"]))
    text = mmcif_text(sulphur, np.zeros((2, 3), np.float32), np.zeros(2), info_of(sulphur))
    assert "disulf1" in text
    chain = replace(
        two_residues(("ALA", "C"), ("ALA", "N")),
        chain_id=np.array(["A", "A"]),
        entity_id=np.array(["1", "1"]),
        res_id=np.array([1, 2]),
        kind=np.array(["protein", "protein"]),
    )
    text = mmcif_text(chain, np.zeros((2, 3), np.float32), np.zeros(2), info_of(chain))
    assert "struct_conn" not in text


@pytest.mark.parametrize("order, word", [(1, "sing"), (2, "doub"), (3, "trip"), (4, "arom")])
def test_bond_orders_of_a_component(order, word):
    atoms = two_residues(("LIG", "C1"), ("LIG", "O1"), order)
    one = replace(
        atoms,
        chain_id=np.array(["A", "A"]),
        entity_id=np.array(["1", "1"]),
        kind=np.array(["ligand", "ligand"]),
    )
    text = mmcif_text(one, np.zeros((2, 3), np.float32), np.zeros(2), info_of(one))
    table = (
        gemmi.cif.read_string(text)
        .sole_block()
        .find(
            "_chem_comp_bond.",
            ["comp_id", "atom_id_1", "atom_id_2", "value_order", "pdbx_aromatic_flag"],
        )
    )
    assert [list(row) for row in table] == [["LIG", "C1", "O1", word, "Y" if order == 4 else "N"]]


def test_names_that_need_quotes_and_the_title(tmp_path):
    atoms = two_residues(("LIG", "C1'"), ("LIG", 'O1"'))
    info = info_of(atoms, descriptions={"2": "CC(=O)Oc1ccccc1 'x'"})
    info = replace(info, name="my job; #1", title="random weights (seed 0)")
    write_mmcif(tmp_path / "x.cif", atoms, np.ones((2, 3), np.float32), np.ones(2), info)
    block = gemmi.cif.read(str(tmp_path / "x.cif")).sole_block()
    assert gemmi.cif.as_string(block.find_value("_struct.title")) == info.title
    assert gemmi.cif.as_string(block.find_value("_entry.id")) == info.name
    descriptions = [gemmi.cif.as_string(v) for v in block.find_values("_entity.pdbx_description")]
    assert "CC(=O)Oc1ccccc1 'x'" in descriptions
    names = [gemmi.cif.as_string(v) for v in block.find_values("_atom_site.label_atom_id")]
    assert names == ["C1'", 'O1"']


NAMES = ["résumé", "日本語", "é", "è", "x\udce9", "a\tb", "a\n;b", "loop_", "data_x", "_x", "#",
         "; x", "'", "a' b\" c", "?", "x" * 300]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_every_name_gives_a_file_that_three_programs_read(name):
    pdbx = pytest.importorskip("biotite.structure.io.pdbx")
    bio = pytest.importorskip("Bio.PDB.MMCIFParser")
    atoms = two_residues()
    info = replace(info_of(atoms, descriptions={"2": f"{name}.sdf"}), name=name, title=name)
    text = mmcif_text(atoms, np.ones((2, 3), np.float32), np.ones(2), info)
    assert text.isascii() and "\t" not in text
    block = gemmi.cif.read_string(text).sole_block()
    assert gemmi.make_structure_from_block(block)[0].count_atom_sites() == 2
    entry = gemmi.cif.as_string(block.find_value("_entry.id"))
    assert entry == gemmi.cif.as_string(block.find_value("_struct.title"))
    file = pdbx.CIFFile.read(io.StringIO(text))
    assert file.block["entry"]["id"].as_item() == entry
    assert len(pdbx.get_structure(file, model=1)) == 2
    parser = bio.MMCIFParser(QUIET=True)
    assert len(list(parser.get_structure("x", io.StringIO(text)).get_atoms())) == 2
    assert parser._mmcif_dict["_entry.id"] == [entry]
    descriptions = [gemmi.cif.as_string(v) for v in block.find_values("_entity.pdbx_description")]
    if name.isascii() and name.isprintable() and name != "loop_":
        assert entry == name and descriptions[1] == f"{name}.sdf"


def test_names_that_differ_only_in_letters_outside_ascii_stay_apart():
    atoms = two_residues()
    info = info_of(atoms, descriptions={"1": "é.sdf", "2": "è.sdf"})
    text = mmcif_text(atoms, np.ones((2, 3), np.float32), np.ones(2), info)
    block = gemmi.cif.read_string(text).sole_block()
    assert len(set(block.find_values("_entity.pdbx_description"))) == 2


def test_the_last_loop_is_closed(text):
    lines = text.splitlines()
    assert lines[-1] == "#" and lines[-2].startswith(("ATOM", "HETATM")) and text.endswith("\n")


def test_bonds_to_metals_are_coordination():
    atoms = replace(two_residues(("CYS", "SG"), ("ZN", "ZN")), element=np.array(["S", "ZN"]))
    text = mmcif_text(atoms, np.ones((2, 3), np.float32), np.ones(2), info_of(atoms))
    structure = gemmi.make_structure_from_block(gemmi.cif.read_string(text).sole_block())
    (link,) = structure.connections
    assert link.type == gemmi.ConnectionType.MetalC and "metalc1" in text


def test_residues_carry_their_mean_plddt(recorded):
    rng = np.random.default_rng(3)
    plddt = rng.uniform(0, 100, len(recorded))
    text = mmcif_text(recorded, np.zeros((len(recorded), 3), np.float32), plddt, info_of(recorded))
    block = gemmi.cif.read_string(text).sole_block()
    metrics = block.find("_ma_qa_metric.", ["id", "mode", "name", "type"])
    assert [list(row) for row in metrics] == [
        ["1", "global", "pLDDT", "pLDDT"], ["2", "local", "pLDDT", "pLDDT"]]
    (whole,) = block.find("_ma_qa_metric_global.", ["metric_id", "metric_value", "model_id"])
    assert list(whole) == ["1", f"{plddt.mean():.2f}", "1"]
    items = ["label_asym_id", "label_comp_id", "label_seq_id", "metric_id", "metric_value"]
    rows = [list(row) for row in block.find("_ma_qa_metric_local.", items)]
    starts = recorded.residue_starts()
    assert len(rows) == len(starts)
    for row, atoms in zip(rows, np.split(np.arange(len(recorded)), starts[1:])):
        first = recorded[atoms[:1]]
        ligand = first.kind[0] == "ligand"
        assert row[:2] == [first.chain_id[0], first.res_name[0]] and row[3] == "2"
        assert row[2] == ("." if ligand else str(first.res_id[0]))
        assert abs(float(row[4]) - plddt[atoms].mean()) < 0.006


def test_same_bytes_twice(recorded):
    coordinates = np.zeros((len(recorded), 3), np.float32)
    texts = {
        mmcif_text(recorded, coordinates, np.zeros(len(recorded)), info_of(recorded))
        for _ in range(2)
    }
    assert len(texts) == 1
