# SPDX-License-Identifier: Apache-2.0
"""Polymers, leaving groups and covalent bonds: our own statements beside the live parity."""

import numpy as np
import pytest

from protenix_ms.chem.atom_table import concatenate
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.covalent import apply_covalent_bonds, selenomethionine_to_methionine
from protenix_ms.chem.leaving import leaving_groups, lost_atoms
from protenix_ms.chem.ligand import build_ligand
from protenix_ms.chem.polymer import build_polymer
from protenix_ms.errors import ChemistryError
from protenix_ms.job import AtomAddress, CovalentBond, Ligand, Modification


@pytest.fixture(scope="module")
def ccd():
    return ComponentDictionary.load()


def names(table, res_id):
    return table.atom_name[table.res_id == res_id].tolist()


def test_peptide(ccd):
    table = build_polymer("protein", "AGA", (), ccd)
    assert names(table, 1) == ["N", "CA", "C", "O", "CB"]
    assert names(table, 3) == ["N", "CA", "C", "O", "CB", "OXT"]
    between = table.bonds[table.res_id[table.bonds[:, 0]] != table.res_id[table.bonds[:, 1]]]
    assert [table.atom_name[b[:2]].tolist() for b in between] == [["C", "N"]] * 2
    assert not table.hetero.any() and table.charge.dtype == np.int64


def test_nucleic_acids_keep_the_first_op3(ccd):
    for kind in ("dna", "rna"):
        table = build_polymer(kind, "AC", (), ccd)
        assert "OP3" in names(table, 1) and "OP3" not in names(table, 2)


def test_n_methyl_amide_cap_keeps_oxt_as_upstream(ccd):
    capped = (Modification("ACE", 1), Modification("NME", 3))
    table = build_polymer("protein", "AAA", capped, ccd)
    assert names(table, 1) == ["C", "O", "CH3"] and "OXT" in names(table, 2)
    ends = {tuple(sorted(table.res_id[b[:2]].tolist())) for b in table.bonds}
    assert {(1, 2), (2, 3)} <= ends


@pytest.mark.parametrize("kind, sequence, modifications, words", [
    ("protein", "ACJ", (), "position 3: 'J' is not a protein residue"),
    ("protein", "ACd", (), "write 'D'"),
    ("dna", "ACGE", (), "position 4"),
    ("rna", "ACGT", (), "'T' is not a rna residue"),
    ("protein", "", (), "empty"),
    ("protein", "AAA", (("SEP", 4),), "position 4: modification SEP stands outside"),
    ("protein", "AAA", (("SEP", 0),), "position 0"),
    ("protein", "AAA", (("SEPP", 2),), "modification at position 2: unknown component.*'SEP'"),
    ("protein", "AAA", (("UNL", 2),), "UNL has no atoms"),
])
def test_refused_chains(ccd, kind, sequence, modifications, words):
    with pytest.raises(ChemistryError, match=words):
        build_polymer(kind, sequence, tuple(Modification(*m) for m in modifications), ccd)


def test_leaving_groups(ccd):
    assert leaving_groups(ccd["ALA"]) == {"C": [["OXT"]]}
    assert leaving_groups(ccd["A"]) == {"P": [["OP3"]]}
    assert leaving_groups(ccd["NAG"]) == {"C1": [["O1"]]}
    assert leaving_groups(ccd["ZN"]) == {}


def test_first_or_drawn_leaving_group(ccd):
    """An atom with more groups than bonds: the first one, or a draw from the given generator."""
    code, centre = next(
        (code, atom) for code in ccd if ccd[code].leaving.sum() > 1
        for atom, groups in leaving_groups(ccd[code]).items() if len(groups) > 1
    )
    table = build_ligand(Ligand(codes=(code,)), ccd, 0, 0)
    row = int(np.flatnonzero(table.atom_name == centre)[0])
    groups = leaving_groups(ccd[code])[centre]
    assert table.atom_name[lost_atoms(table, {row: 1}, ccd)].tolist() == sorted(
        groups[0], key=table.atom_name.tolist().index)
    drawn = {tuple(table.atom_name[lost_atoms(table, {row: 1}, ccd, np.random.default_rng(s))])
             for s in range(20)}
    assert len(drawn) == len(groups)
    both = lost_atoms(table, {row: 9}, ccd)
    assert both.sum() == sum(map(len, groups))


def assembly(ccd):
    """Two copies of a peptide, one glycan, one SMILES ligand with map numbers."""
    peptide = build_polymer("protein", "CNC", (), ccd)
    parts = [(peptide, "1", 1), (peptide, "1", 2),
             (build_ligand(Ligand(codes=("NAG",)), ccd, 0, 0), "2", 1),
             (build_ligand(Ligand(smiles="[CH3:4]C(=O)N"), ccd, 0, 1), "3", 1)]
    return concatenate([
        part.with_columns(entity_id=np.full(len(part), entity), chain_id=np.full(len(part), chain),
                          copy_id=np.full(len(part), copy))
        for chain, (part, entity, copy) in zip("ABCD", parts)
    ])


def bond(first, second):
    return CovalentBond(AtomAddress(*first), AtomAddress(*second))


def test_glycosylation_takes_o1(ccd):
    table = assembly(ccd)
    made = apply_covalent_bonds(table, (bond((1, 2, "ND2", 1), (2, 1, "C1")),), ccd)
    assert len(made) == len(table) - 1 and len(made.bonds) == len(table.bonds)
    assert "O1" not in made.atom_name[made.chain_id == "C"]
    ends = made.chain_id[made.bonds[:, :2]]
    assert (ends[:, 0] != ends[:, 1]).sum() == 1


def test_bonds_of_all_copies_and_by_number(ccd):
    table = assembly(ccd)
    bonds = (bond((1, 1, "SG"), (1, 3, "SG")), bond((1, 2, "CB", 2), (3, 1, 4)))
    made = apply_covalent_bonds(table, bonds, ccd)
    assert len(made.bonds) == len(table.bonds) + 3
    again = apply_covalent_bonds(made, bonds[:1], ccd)
    assert len(again.bonds) == len(made.bonds)  # known already


@pytest.mark.parametrize("first, second, words", [
    ((1, 1, "SG"), (2, 1, "C1"), "gives 2 atoms and entity 2 gives 1"),
    ((9, 1, "SG"), (2, 1, "C1"), "no entity 9"),
    ((1, 1, "SG", 3), (2, 1, "C1"), "no entity 1 copy 3"),
    ((1, 4, "SG", 1), (2, 1, "C1"), "no position 4.*from 1 to 3"),
    ((1, 1, "SGG", 1), (2, 1, "C1"), "no atom SGG in CYS; did you mean SG"),
    ((1, 1, "OXT", 1), (2, 1, "C1"), "no atom OXT"),
    ((1, 1, 3, 1), (2, 1, "C1"), "no atom 3 in CYS"),
    ((3, 1, 5), (2, 1, "C1"), "no atom 5 in l01"),
    ((1, 1, None, 1), (2, 1, "C1"), "no atom None"),
    ((2, 1, "C1"), (2, 1, "C1"), "bonded to itself"),
])
def test_refused_bonds(ccd, first, second, words):
    with pytest.raises(ChemistryError, match=f"covalent bond 1.*{words}"):
        apply_covalent_bonds(assembly(ccd), (bond(first, second),), ccd)


def test_selenomethionine(ccd):
    table = build_polymer("protein", "AMA", (Modification("MSE", 2),), ccd)
    changed = selenomethionine_to_methionine(table)
    assert set(changed.res_name) == {"ALA", "MET"}
    assert changed.element[changed.atom_name == "SD"].tolist() == ["S"]
    assert "SE" not in changed.atom_name and (changed.ref_pos == table.ref_pos).all()
