# SPDX-License-Identifier: Apache-2.0
"""Files of whole jobs, read by others: bonds of every component, sequences, glycans, records."""

import io

import gemmi
import numpy as np
import pytest

from protenix_ms.features import assemble
from protenix_ms.io.mmcif_write import mmcif_text
from protenix_ms.job import AtomAddress, CovalentBond, Job, Ligand, Modification, Polymer
from protenix_ms.predict.outputs import structure_info


def written(ccd, *entities, bonds=()) -> tuple[gemmi.cif.Block, str, object]:
    """Write a job's structure file, coordinates at random; return block, text and atoms."""
    job = Job("a job", entities, tuple(CovalentBond(*ends) for ends in bonds))
    # upstream's reading lets a chromophore stand in a chain without a bond
    atoms = assemble(job, ccd, np.random.default_rng(0), "CRO" in str(entities))
    coordinates = np.random.default_rng(1).normal(size=(len(atoms), 3)).astype(np.float32)
    info = structure_info(job, ccd, sorted(set(atoms.res_name.tolist())), "made for a test")
    text = mmcif_text(atoms, coordinates, np.full(len(atoms), 70.0, np.float32), info)
    return gemmi.cif.read_string(text).sole_block(), text, atoms


def modified(kind, sequence, *changes) -> Polymer:
    return Polymer(kind, sequence, modifications=tuple(Modification(c, i) for c, i in changes))


def rows(block, category, *items) -> list[list[str]]:
    return [[gemmi.cif.as_string(value) for value in row]
            for row in block.find(f"_{category}.", list(items))]


SUGARS = Ligand(codes=("NAG", "NAG", "BMA"), count=2)
GLYCOSIDIC = [(AtomAddress(2, 1, "O4"), AtomAddress(2, 2, "C1")),
              (AtomAddress(2, 2, "O4"), AtomAddress(2, 3, "C1"))]
SITE = (AtomAddress(1, 2, "ND2"), AtomAddress(2, 1, "C1"))
JOBS = {
    "smiles": ((Polymer("protein", "MKWHF"), Ligand(smiles="OC[C@@H](N)C=O")), ()),
    "modified protein": ((modified("protein", "MKTYSW", ("TPO", 3), ("DTR", 6)),), ()),
    "modified nucleic acids": ((modified("dna", "GATC", ("6MA", 2)),
                                modified("rna", "GAUC", ("5MU", 3)),
                                Polymer("dna", "XIU"), Polymer("rna", "GI")), ()),
    "glycan": ((Polymer("protein", "GNGT", count=2), SUGARS), (*GLYCOSIDIC, SITE)),
    "caps": ((modified("protein", "XKGX", ("ACE", 1), ("NME", 4)),), ()),
    "ions": ((Polymer("protein", "CHC"), Ligand(codes=("ZN",), count=2), Ligand(codes=("MG",))),
             [(AtomAddress(1, 1, "SG", 1), AtomAddress(2, 1, "ZN", 1))]),
}


@pytest.mark.parametrize("name", JOBS)
def test_biotite_and_gemmi_read_what_was_bonded(ccd, name, monkeypatch):
    """Every bond of the job and no other: `_chem_comp_bond` has each component's rows."""
    pdbx = pytest.importorskip("biotite.structure.io.pdbx")
    from biotite.structure import BondType

    # upstream takes metal bonds out of biotite's table when it is imported
    monkeypatch.setitem(pdbx.convert.PDBX_BOND_TYPE_ID_TO_TYPE, "metalc", BondType.COORDINATION)
    entities, bonds = JOBS[name]
    block, text, atoms = written(ccd, *entities, bonds=bonds)
    read = pdbx.get_structure(pdbx.CIFFile.read(io.StringIO(text)), model=1, include_bonds=True)
    theirs = {tuple(sorted(map(int, bond[:2]))) for bond in read.bonds.as_array()}
    assert theirs == {tuple(sorted(bond[:2])) for bond in atoms.bonds.tolist()}
    for column, items in (("chain_id", "label_asym_id auth_asym_id"),
                          ("res_name", "label_comp_id auth_comp_id"), ("res_id", "auth_seq_id"),
                          ("atom_name", "label_atom_id auth_atom_id")):
        for item in items.split():
            expected = getattr(atoms, column).astype(str).tolist()
            assert [row[0] for row in rows(block, "atom_site", item)] == expected
    assert gemmi.make_structure_from_block(block)[0].count_atom_sites() == len(atoms)


def test_aromatic_rings_are_flagged_and_alternate(ccd):
    block, _, _ = written(ccd, Polymer("protein", "F"), Ligand(codes=("MG",)))
    table = rows(block, "chem_comp_bond", "comp_id", "atom_id_1", "atom_id_2", "value_order",
                 "pdbx_aromatic_flag")
    assert {row[0] for row in table} == {"PHE"}
    ring = [row for row in table if row[4] == "Y"]
    assert len(ring) == 6 and sorted(row[3] for row in ring) == ["doub"] * 3 + ["sing"] * 3


@pytest.mark.parametrize(
    "kind, sequence, changes, seq, canonical, nonstandard",
    [
        ("protein", "MKTA", (), "MKTA", "MKTA", ""),
        ("protein", "MKXA", (), "MK(UNK)A", "MKXA", ""),
        ("protein", "GTMW", (("TPO", 2), ("MSE", 3)), "G(TPO)MW", "GTMW", "TPO"),
        ("protein", "GGW", (("DAL", 1), ("DTR", 3)), "(DAL)G(DTR)", "AGW", "DAL DTR"),
        ("protein", "QGK", (("PCA", 1),), "(PCA)GK", "QGK", "PCA"),
        ("protein", "XGK", (("ACE", 1),), "(ACE)GK", "XGK", "ACE"),
        ("protein", "GGX", (("NH2", 3),), "GG(NH2)", "GGX", "NH2"),
        ("protein", "GXG", (("CRO", 2),), "G(CRO)G", "GTYGG", "CRO"),  # one residue made of three
        ("dna", "GCX", (("5CM", 2),), "(DG)(5CM)(DN)", "GCN", "5CM"),
        ("rna", "GUX", (("PSU", 2),), "G(PSU)N", "GUN", "PSU"),
        ("rna", "GAU", (("2MG", 1),), "(2MG)AU", "GAU", "2MG"),
    ],
)
def test_modified_residues(ccd, kind, sequence, changes, seq, canonical, nonstandard):
    block, _, atoms = written(ccd, modified(kind, sequence, *changes))
    (row,) = rows(block, "entity_poly", "nstd_monomer", "pdbx_seq_one_letter_code",
                  "pdbx_seq_one_letter_code_can")
    assert row == ["yes" if nonstandard else "no", seq, canonical]
    records = rows(block, "atom_site", "group_PDB", "label_comp_id")
    hetero = {name for record, name in records if record == "HETATM"}
    assert hetero == set(nonstandard.split())
    assert not hetero & {name for record, name in records if record == "ATOM"}
    flags = dict(rows(block, "chem_comp", "id", "mon_nstd_flag"))
    assert {name for name, flag in flags.items() if flag == "n"} == hetero
    assert not atoms.hetero.any()  # features see what upstream gives them


def test_a_component_that_has_a_parent_but_no_letter(ccd):
    letters = {"LYS": "K", "CYS": "C"}
    code = next(code for code in ccd if ccd[code].parent in letters and not ccd[code].one_letter
                and ccd[code].mol_type == "protein" and {"N", "C"} <= set(ccd[code].atom_name))
    block, _, _ = written(ccd, modified("protein", "GKG", (code, 2)))
    letter = letters[ccd[code].parent]
    assert rows(block, "entity_poly", "pdbx_seq_one_letter_code_can") == [[f"G{letter}G"]]


def test_modified_residues_are_linked_as_in_the_archive(ccd):
    """Readers that know no such residue find its peptide bonds among the connections."""
    block, _, _ = written(ccd, modified("protein", "GKGG", ("MLY", 2)))
    ends = rows(block, "struct_conn", "conn_type_id", "ptnr1_label_seq_id", "ptnr1_label_atom_id",
                "ptnr2_label_seq_id", "ptnr2_label_atom_id")
    assert ends == [["covale", "1", "C", "2", "N"], ["covale", "2", "C", "3", "N"]]


def test_a_ligand_of_bonded_sugars_is_branched(ccd):
    block, text, _ = written(ccd, *JOBS["glycan"][0], bonds=JOBS["glycan"][1])
    assert rows(block, "entity", "id", "type") == [["1", "polymer"], ["2", "branched"]]
    assert rows(block, "pdbx_entity_branch", "entity_id", "type") == [["2", "oligosaccharide"]]
    assert rows(block, "pdbx_entity_branch_list", "entity_id", "num", "comp_id") == [
        ["2", "1", "NAG"], ["2", "2", "NAG"], ["2", "3", "BMA"]]
    items = ["entity_branch_list_num_1", "comp_id_1", "atom_id_1", "leaving_atom_id_1",
             "entity_branch_list_num_2", "comp_id_2", "atom_id_2", "leaving_atom_id_2"]
    assert rows(block, "pdbx_entity_branch_link", "link_id", *items, "value_order") == [
        ["1", "2", "NAG", "C1", "O1", "1", "NAG", "O4", "HO4", "sing"],
        ["2", "3", "BMA", "C1", "O1", "2", "NAG", "O4", "HO4", "sing"]]
    scheme = rows(block, "pdbx_branch_scheme", "asym_id", "num", "pdb_mon_id", "auth_seq_num")
    assert scheme == [[c, str(i), n, str(i)] for c in "CD" for i, n in enumerate(SUGARS.codes, 1)]
    assert not rows(block, "pdbx_entity_nonpoly", "entity_id")
    structure = gemmi.make_structure_from_block(block)
    assert [e.entity_type for e in structure.entities][1] == gemmi.EntityType.Branched
    assert set(block.find_values("_atom_site.label_seq_id")) == {"1", "2", "3", "4", "."}


@pytest.mark.parametrize(
    "entities, bonds, expected",
    [
        ((Ligand(codes=("NAG",)),), (), ["non-polymer"]),
        ((Ligand(codes=("NAG", "BMA")),), (), ["non-polymer"]),  # not joined
        ((Ligand(codes=("NAG", "ATP")),), [(1, 1, "O4", 1, 2, "C1'")], ["non-polymer"]),
        ((Ligand(codes=("GAL", "SIA")),), [(1, 1, "O3", 1, 2, "C2")], ["branched"]),
        ((Ligand(codes=("NAG", "BMA", "MAN")),), [(1, 1, "O4", 1, 2, "C1")], ["non-polymer"]),
        ((Ligand(codes=("NAG",)), Ligand(codes=("BMA",))), [(1, 1, "O4", 2, 1, "C1")],
         ["non-polymer"] * 2),
        ((Ligand(codes=("HOH",), count=2), Ligand(codes=("MG",))), (), ["water", "non-polymer"]),
    ],
)
def test_types_of_ligands(ccd, entities, bonds, expected):
    ends = [(AtomAddress(*bond[:3]), AtomAddress(*bond[3:])) for bond in bonds]
    block, _, _ = written(ccd, *entities, bonds=ends)
    assert [row[0] for row in rows(block, "entity", "type")] == expected


def test_a_copy_that_is_joined_otherwise_makes_no_branched_entity(ccd):
    bond = (AtomAddress(1, 1, "O4", 1), AtomAddress(1, 2, "C1", 1))
    block, _, _ = written(ccd, Ligand(codes=("NAG", "BMA"), count=2), bonds=[bond])
    assert rows(block, "entity", "type") == [["non-polymer"]]


def test_a_residue_that_is_ligand_and_part_of_a_chain(ccd):
    block, _, _ = written(ccd, Polymer("protein", "GA"), Ligand(codes=("ALA",)))
    assert dict(rows(block, "chem_comp", "id", "mon_nstd_flag"))["ALA"] == "y"
    records = rows(block, "atom_site", "group_PDB", "label_asym_id")
    assert {tuple(row) for row in records} == {("ATOM", "A"), ("HETATM", "B")}
