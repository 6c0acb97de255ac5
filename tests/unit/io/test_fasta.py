# SPDX-License-Identifier: Apache-2.0
"""Headers of FASTA dialects, modified residues, glycans, names of chains."""

import pytest

from protenix_ms.io import read_jobs
from protenix_ms.job import AtomAddress, CovalentBond, Ligand, Modification, Polymer


def read(tmp_path, text):
    path = tmp_path / "x.fasta"
    path.write_text(text, encoding="utf-8")
    return read_jobs(path)[0]


@pytest.mark.parametrize(("header", "text", "entity"), [
    ("protein|7xyz-heavy", "MKTA", Polymer("protein", "MKTA")),
    ("glycan|one sugar", "GAL", Ligand(codes=("GAL",))),
    ("glycan", "SIA", Ligand(codes=("SIA",))),
    ("Ligand|x|y", "CSC", Ligand(smiles="CSC")),
    ("ligand|", "CCO", Ligand(smiles="CCO")),
    ("dna|primer", "ACGT", Polymer("dna", "ACGT")),
    ("rna|name=a hairpin", "GGCU", Polymer("rna", "GGCU")),
    ("RNA|abcd", "GGCU", Polymer("rna", "GGCU")),
    ("protein|name=Q", "MKTA", Polymer("protein", "MKTA", ids=("Q",))),
    ("A|protein", "MKTA", Polymer("protein", "MKTA", ids=("A",))),
    ("ion|rna", "ACG", Polymer("rna", "ACG", ids=("ion",))),
    ("ccd|co-factor", "HEM", Ligand(codes=("HEM",))),
    ("ion|salt", "NA", Ligand(codes=("NA",), is_ion=True)),
])
def test_the_first_field_is_the_type_whatever_follows(header, text, entity, tmp_path):
    assert read(tmp_path, f">{header}\n{text}\n").entities == (entity,)


def test_copies_keep_their_headers(tmp_path):
    job = read(tmp_path, ">HBA human\nMKTAY\n>HBB\nMKTAY\n>c\nGSHME:MKTAY\n>ligand|ATPish\nCCO\n")
    first, second, ligand = job.entities
    assert first.count == 3 and first.labels == ("HBA human", "HBB", "c:2") and first.ids == ()
    assert second.labels == ("c:1",) and ligand.labels == ("ATPish",)


def test_parentheses_hold_modified_residues(tmp_path):
    chains = read(tmp_path, ">protein|m\nRK(MSE)ES(sep)\n>rna|r\nG(PSU)C(5MC)\n>a\nMK(TPO)L\n")
    protein, rna, plain = chains.entities
    assert protein == Polymer("protein", "RKMESS", modifications=(Modification("MSE", 3),
                                                                  Modification("SEP", 6)))
    assert rna.sequence == "GUCX" and rna.modifications[1] == Modification("5MC", 4)
    assert plain.sequence == "MKTL" and plain.modifications == (Modification("TPO", 3),)


def test_glycans_become_ligands_with_bonds(tmp_path):
    text = ">protein|p\nMKTA\n" + ">glycan|g\nNAG(4-1 NAG)(6-1 FUC)\n" * 2
    job = read(tmp_path, text + ">glycan|h\nNAG(3-1 NAG(6-1 FUC))\n")
    _, first, second = job.entities
    assert first == Ligand(codes=("NAG", "NAG", "FUC"), count=2)
    assert second == Ligand(codes=("NAG", "NAG", "FUC"))
    atom = AtomAddress
    assert job.bonds == (
        CovalentBond(atom(2, 1, "O4"), atom(2, 2, "C1")),
        CovalentBond(atom(2, 1, "O6"), atom(2, 3, "C1")),
        CovalentBond(atom(3, 1, "O3"), atom(3, 2, "C1")),
        CovalentBond(atom(3, 2, "O6"), atom(3, 3, "C1")))
    assert len(job.notes) == 1 and "not bonded to a polymer" in job.notes[0]
    assert read(tmp_path, ">glycan|g\nNAG(4-1 NAG)\n").notes == ()
