# SPDX-License-Identifier: Apache-2.0
"""Polymers, leaving groups and covalent bonds: our own statements beside the live parity."""

import numpy as np
import pytest

from protenix_ms.chem.atom_table import concatenate
from protenix_ms.chem.covalent import apply_covalent_bonds, selenomethionine_to_methionine
from protenix_ms.chem.ligand import build_ligand
from protenix_ms.chem.polymer import build_polymer, unbonded_neighbours
from protenix_ms.chem.residue import leaving_groups, lost_atoms
from protenix_ms.constants.restypes import SEQUENCE_LETTERS
from protenix_ms.errors import ChemistryError
from protenix_ms.features.assembly import assemble
from protenix_ms.job import AtomAddress, CovalentBond, Job, Ligand, Modification, Polymer


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


def changed(ccd, sequence, *codes, kind="protein", quirks=False):
    """Make a chain with components at positions, e.g. ("NH2", 3), and the bonds between
    residues."""
    changes = tuple(Modification(*code) for code in codes)
    table = build_polymer(kind, sequence, changes, ccd, quirks)
    between = table.bonds[table.res_id[table.bonds[:, 0]] != table.res_id[table.bonds[:, 1]], :2]
    return table, {tuple(f"{table.atom_name[i]}{table.res_id[i]}" for i in pair)
                   for pair in between.tolist()}


@pytest.mark.parametrize("code, position, lone", [
    ("NH2", 3, ["N"]), ("NME", 3, ["N", "C"]), ("ACE", 1, ["C", "O", "CH3"]),
    ("FOR", 1, ["C", "O"]), ("IVA", 1, ["CA", "CB", "CG1", "CG2", "C", "O"]),
    ("BAL", 2, ["N", "CB", "CA", "C", "O"]), ("ABA", 2, ["N", "CA", "C", "O", "CB", "CG"]),
    ("DAL", 2, ["N", "CA", "CB", "C", "O"]),
    ("STA", 2, ["N", "CA", "CB", "CG", "CD1", "CD2", "CH", "OH", "CM", "C", "O"]),
])
def test_caps_and_odd_residues_are_bonded_without_surplus_oxygen(ccd, code, position, lone):
    table, bonds = changed(ccd, "LLL", (code, position))
    assert bonds == {("C1", "N2"), ("C2", "N3")} and unbonded_neighbours(table) == []
    assert sorted(names(table, position)) == sorted(lone)
    assert "OXT" not in names(table, 1) + names(table, 2)
    carbon = np.flatnonzero((table.res_id == 2) & (table.atom_name == "C"))[0]
    orders = table.bonds[(table.bonds[:, :2] == carbon).any(axis=1), 2]
    assert orders.sum() == 4  # carbonyl, alpha carbon, nitrogen


@pytest.mark.parametrize("code", ["CRO", "CR2", "GYS", "SWG", "4F3"])
def test_chromophores_are_bonded_by_their_own_ends(ccd, code):
    table, bonds = changed(ccd, "AAA", (code, 2))
    assert bonds == {("C1", "N12"), ("C32", "N3")} and unbonded_neighbours(table) == []
    assert "OXT" not in names(table, 1) + names(table, 2)
    assert changed(ccd, "AAA", (code, 2), quirks=True)[1] == set()
    assert "OXT" in names(changed(ccd, "AA", (code, 2))[0], 2)  # at the end it stays
    table, bonds = changed(ccd, "AAAA", (code, 2), (code, 3))
    assert bonds == {("C1", "N12"), ("C32", "N13"), ("C33", "N4")}


def test_both_caps_at_once_and_on_one_residue(ccd):
    for first in ("ACE", "FOR"):
        for last in ("NH2", "NME"):
            table, bonds = changed(ccd, "AGA", (first, 1), (last, 3))
            assert bonds == {("C1", "N2"), ("C2", "N3")}
            assert names(table, 2) == ["N", "CA", "C", "O"]


def test_upstream_leaves_amides_without_a_bond(ccd):
    table, bonds = changed(ccd, "AAA", ("NH2", 3), quirks=True)
    assert bonds == {("C1", "N2")} and unbonded_neighbours(table) == [2]
    assert unbonded_neighbours(changed(ccd, "AAA", ("FOR", 1), quirks=True)[0]) == [1]


def chain_job(*codes, sequence="AAAA", kind="protein", bonds=(), count=1):
    chain = Polymer(kind, sequence, count, modifications=tuple(Modification(*c) for c in codes))
    return Job("j", (Ligand(codes=("ZN",)), chain), tuple(bonds), source="f.json, job 1")


@pytest.mark.parametrize("codes, kind, sequence, says", [
    ([("NME", 1)], "protein", "AAAA", "positions 1 and 2: NME and ALA are neighbours that nothing"),
    ([("ACE", 4)], "protein", "AAAA", "positions 3 and 4: ALA and ACE"),
    ([("NH2", 2)], "protein", "AAAA", "positions 2 and 3: NH2 and ALA"),
    # no amine: an imine, a side chain's amide; the carbon is known
    ([("NRQ", 3)], "protein", "AAAA", "positions 2 and 3: ALA and NRQ .* a carbonyl atom C"),
    ([("CRQ", 3)], "protein", "AAAA", "positions 2 and 3: ALA and CRQ"),
    ([("DNL", 3)], "protein", "AAAA", "positions 2 and 3: ALA and DNL"),  # a side chain's amine
    ([("DA", 2)], "protein", "AAAA", "positions 1 and 2: ALA and DA"),
    ([("GTP", 2)], "rna", "GACU", "positions 1 and 2: G and GTP .*O3' and P"),
    ([("2DA", 2)], "dna", "AAAA", "positions 2 and 3: 2DA and DA"),
    ([("ALA", 2)], "dna", "ACGT", "positions 1 and 2: DA and ALA"),
])
def test_neighbours_without_a_bond_are_refused_by_name(ccd, codes, kind, sequence, says):
    job = chain_job(*codes, kind=kind, sequence=sequence, count=2)
    with pytest.raises(ChemistryError, match=f"^f.json, job 1 'j', entity 2, {says}.*covalent_b"):
        assemble(job, ccd, np.random.default_rng(0))
    assemble(job, ccd, np.random.default_rng(0), upstream_quirks=True)


def test_a_bond_of_the_job_joins_neighbours(ccd):
    bonds = (bond((2, 2, "C"), (2, 3, "N1")), bond((2, 3, "C3"), (2, 4, "N")))
    for code in ("NRQ", "CRO"):  # those of CRO are made already
        atoms = assemble(chain_job((code, 3), bonds=bonds, count=2), ccd, np.random.default_rng(0))
        assert (atoms.atom_name == "OXT").sum() == 2  # of the last residues
    start = (bond((2, 1, "O3'"), (2, 2, "P")),)  # it is made already, too
    job = chain_job(("GTP", 1), kind="rna", sequence="GACU", bonds=start)
    assert len(assemble(job, ccd, np.random.default_rng(0)))


def test_a_triphosphate_starts_a_nucleic_acid(ccd):
    table, bonds = changed(ccd, "GACU", ("GTP", 1), kind="rna")
    assert ("O3'1", "P2") in bonds and unbonded_neighbours(table) == []
    assert "OP3" not in names(table, 2) and "O3'" in names(table, 1)
    assert unbonded_neighbours(changed(ccd, "GACU", ("GTP", 1), kind="rna", quirks=True)[0]) == [1]


def test_every_letter_is_bonded(ccd):
    for kind, letters in SEQUENCE_LETTERS.items():
        assert unbonded_neighbours(build_polymer(kind, "".join(letters) * 2, (), ccd)) == []


def test_n_methyl_amide_cap_keeps_oxt_as_upstream(ccd):
    capped = (Modification("ACE", 1), Modification("NME", 3))
    table = build_polymer("protein", "AAA", capped, ccd, upstream_quirks=True)
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
    """Make two copies of a peptide, one glycan, one SMILES ligand with map numbers."""
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
    bonded = apply_covalent_bonds(table, (bond((1, 2, "ND2", 1), (2, 1, "C1")),), ccd)
    assert len(bonded) == len(table) - 1 and len(bonded.bonds) == len(table.bonds)
    assert "O1" not in bonded.atom_name[bonded.chain_id == "C"]
    ends = bonded.chain_id[bonded.bonds[:, :2]]
    assert (ends[:, 0] != ends[:, 1]).sum() == 1


def test_bonds_of_all_copies_and_by_number(ccd):
    table = assembly(ccd)
    bonds = (bond((1, 1, "SG"), (1, 3, "SG")), bond((1, 2, "CB", 2), (3, 1, 4)))
    bonded = apply_covalent_bonds(table, bonds, ccd)
    assert len(bonded.bonds) == len(table.bonds) + 3
    again = apply_covalent_bonds(bonded, bonds[:1], ccd)
    assert len(again.bonds) == len(bonded.bonds)  # known already


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


@pytest.mark.parametrize("bonds, words", [
    ([((2, 1, "O5"), (3, 1, 4))], "atom O5 of NAG would have 3 bonds .* at most 2"),
    ([((1, 1, "C", 1), (3, 1, 4))], "atom C of CYS would have 5 bonds"),
    ([((2, 1, "O4"), (1, 2, "CB", 1)), ((2, 1, "O4"), (3, 1, 4))], "atom O4 of NAG .*3 bonds"),
])
def test_bonds_that_no_atom_can_have_are_refused_where_checked(ccd, bonds, words):
    wanted = tuple(bond(*ends) for ends in bonds)
    with pytest.raises(ChemistryError, match=f"(?s)covalent_bonds, entity .*{words}"):
        apply_covalent_bonds(assembly(ccd), wanted, ccd, check_valence=True)
    assert len(apply_covalent_bonds(assembly(ccd), wanted, ccd))


def test_selenomethionine(ccd):
    table = build_polymer("protein", "AMA", (Modification("MSE", 2),), ccd)
    changed = selenomethionine_to_methionine(table)
    assert set(changed.res_name) == {"ALA", "MET"}
    assert changed.element[changed.atom_name == "SD"].tolist() == ["S"]
    assert "SE" not in changed.atom_name and (changed.ref_pos == table.ref_pos).all()
