# SPDX-License-Identifier: Apache-2.0
"""Ligands from codes, SMILES and files; conformers; every refusal."""

import os
import time

import numpy as np
import pytest
from rdkit import Chem

from protenix_ms.chem import conformer
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.conformer import ConformerSource, embed, ligand_conformer
from protenix_ms.chem.ligand import build_ligand, molecule_from_smiles
from protenix_ms.errors import ChemistryError
from protenix_ms.job import Ligand

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


@pytest.fixture(scope="module")
def ccd():
    return ComponentDictionary.load()


def build(ccd, seed=0, index=1, **ligand):
    return build_ligand(Ligand(**ligand), ccd, seed, index)


def test_joined_codes_are_residues_without_a_bond(ccd):
    table = build(ccd, codes=("NAG", "BMA"))
    assert len(table) == 15 + 12 and table.hetero.all()
    assert table.res_id.tolist() == [1] * 15 + [2] * 12
    assert set(table.res_name) == {"NAG", "BMA"} and "O1" in table.atom_name
    assert (table.res_id[table.bonds[:, 0]] == table.res_id[table.bonds[:, 1]]).all()


def test_smiles_table(ccd):
    table = build(ccd, smiles=ASPIRIN, index=7)
    assert table.atom_name.tolist() == [
        "C1", "C2", "O1", "O2", "C3", "C4", "C5", "C6", "C7", "C8", "C9", "O3", "O4"]
    assert set(table.res_name) == {"l07"} and (table.ref_mask == 1).all()
    orders = np.bincount(table.bonds[:, 2])
    assert orders.tolist() == [0, 8, 5]  # Kekule form: three in the ring, two carbonyls
    length = np.linalg.norm(np.diff(table.ref_pos[table.bonds[:, :2]], axis=1), axis=-1)
    assert ((length > 1.1) & (length < 1.7)).all()
    assert table.extra["atom_index"].tolist() == list(range(13))


def test_map_numbers(ccd):
    table = build(ccd, smiles="[CH3:5]C[OH:2]")
    assert table.extra["atom_map"].tolist() == [5, -1, 2]


def test_seed_decides_the_conformer(ccd):
    first, same, other = (build(ccd, seed=s, smiles=ASPIRIN).ref_pos for s in (3, 3, 4))
    assert (first == same).all() and not np.allclose(first, other)


def test_chirality_survives(ccd):
    for smiles in ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"):
        mol = molecule_from_smiles(smiles)
        position = ligand_conformer(mol, seed=1)
        n, c, b = (position[i] - position[1] for i in (2, 3, 0))
        left_handed = np.dot(np.cross(n, c), b) > 0
        assert left_handed == (smiles == "C[C@H](N)C(=O)O")


@pytest.mark.parametrize("smiles, words", [
    ("C1CC", "cannot read it as SMILES"),
    ("not a molecule", "cannot read it as SMILES"),
    ("C(C)(C)(C)(C)C", "not a possible molecule.*valence"),
    ("", "no atoms"),
    ("[H][H]", "no atoms but hydrogen"),
    ("CC*", "atom 3 is a dummy"),
    ("[*]", "dummies"),
])
def test_refused_smiles(ccd, smiles, words):
    with pytest.raises(ChemistryError, match=f"(?s)^SMILES.*{words}.*; .*\\.$"):
        build(ccd, smiles=smiles)


def test_refused_codes(ccd):
    with pytest.raises(ChemistryError, match="UNL has no atoms"):
        build(ccd, codes=("UNL",))
    with pytest.raises(ChemistryError, match="unknown component 'NAGG'"):
        build(ccd, codes=("NAG", "NAGG"))
    with pytest.raises(ChemistryError, match="more than 99"):
        build(ccd, smiles="C", index=100)


def write_files(folder) -> Chem.Mol:
    """A chiral molecule in every format; two molecules in the SDF, ours first."""
    mol = Chem.AddHs(Chem.MolFromSmiles("C[C@H](O)c1ccncc1"))
    conformer_id = mol.AddConformer(Chem.Conformer(mol.GetNumAtoms()))
    mol.GetConformer(conformer_id).SetPositions(embed(mol, 1)[0].astype(float))
    mol.GetConformer(conformer_id).Set3D(True)
    with Chem.SDWriter(str(folder / "x.sdf")) as writer:
        writer.write(mol)
        writer.write(Chem.MolFromSmiles("CCO"))
    Chem.MolToMolFile(mol, str(folder / "x.mol"))
    Chem.MolToPDBFile(Chem.RemoveHs(mol), str(folder / "x.pdb"))
    (folder / "x.mol2").write_text(MOL2)
    return mol


MOL2 = """@<TRIPOS>MOLECULE
ethanol
 3 2 0 0 0
SMALL
NO_CHARGES
@<TRIPOS>ATOM
 1 CA 0.000 0.000 0.000 C.3 1 LIG 0.0
 2 CB 1.520 0.000 0.000 C.3 1 LIG 0.0
 3 OG 2.000 1.350 0.100 O.3 1 LIG 0.0
@<TRIPOS>BOND
 1 1 2 1
 2 2 3 1
"""


def test_files(ccd, tmp_path):
    mol = write_files(tmp_path)
    expected = mol.GetConformer().GetPositions()[: mol.GetNumHeavyAtoms()]
    for name in ("x.sdf", "x.mol"):
        table = build(ccd, file=tmp_path / name)
        assert table.atom_name.tolist() == ["C1", "C2", "O1", "C3", "C4", "C5", "N1", "C6", "C7"]
        np.testing.assert_allclose(table.ref_pos, expected, atol=1e-4)
        assert table.bonds[:, 2].max() == 2 and len(table.bonds) == 9
    pdb = build(ccd, file=tmp_path / "x.pdb")
    assert len(pdb) == 9 and len(pdb.bonds) == 9
    mol2 = build(ccd, file=tmp_path / "x.mol2")
    assert mol2.atom_name.tolist() == ["C1", "C2", "O1"]
    (tmp_path / "X.SDF").write_bytes((tmp_path / "x.sdf").read_bytes())
    assert len(build(ccd, file=tmp_path / "X.SDF")) == 9


def flat_sdf(path):
    Chem.MolToMolFile(Chem.MolFromSmiles("CCO"), str(path))


@pytest.mark.parametrize("name, content, words", [
    ("x.xyz", b"3\n", "unknown ending '.xyz'"),
    ("x", b"", "unknown ending ''"),
    ("x.sdf", None, "no such file"),
    ("x.sdf", b"", "cannot read"),
    ("x.sdf", b"\xff\xfe\x00garbage\n$$$$\n", "cannot read"),
    ("x.mol", b"nonsense", "cannot read"),
    ("x.mol2", b"nonsense", "cannot read"),
    ("x.pdb", b"nonsense", "cannot read|no atoms"),
    ("flat.mol", flat_sdf, "no 3D coordinates"),
])
def test_refused_files(ccd, tmp_path, name, content, words):
    path = tmp_path / name
    if callable(content):
        content(path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ChemistryError, match=f"(?s)ligand file.*{path.name}.*({words}).*; "):
        build(ccd, file=path)


def test_dummy_atom_in_a_file(ccd, tmp_path):
    (tmp_path / "x.mol2").write_text(MOL2.replace("O.3", "Du"))
    with pytest.raises(ChemistryError, match="dummy|cannot read"):
        build(ccd, file=tmp_path / "x.mol2")


def test_attempts_in_order(monkeypatch):
    """Each method is tried when the one before fails; None when all do."""
    tried = []

    def refuse(mol, options):
        tried.append((options.useRandomCoords, options.useBasicKnowledge, options.timeout))
        return -1

    monkeypatch.setattr(conformer.rdDistGeom, "EmbedMolecule", refuse)
    assert embed(molecule_from_smiles("CCO"), 1, 30.0, conformer.LIGAND_CHAIN) is None
    assert tried == [(False, True, 10), (True, True, 10), (True, False, 10)]
    with pytest.raises(ChemistryError, match="no 3D conformer.*3 heavy atoms"):
        ligand_conformer(molecule_from_smiles("CCO"), 1)


def test_time_limit_is_kept():
    """A cage of impossible stereo centres keeps distance geometry busy until the limit."""
    mol = molecule_from_smiles("C[C@@]12C[C@]3(C)C[C@@](C)(C1)C[C@@](C)(C2)C3")
    start = time.monotonic()
    embed(mol, 1, 2.0)
    assert time.monotonic() - start < 10


def test_large_molecules_go_to_a_child(monkeypatch):
    mol = molecule_from_smiles("CC(=O)NCCO")
    expected = embed(mol, 5)[0]
    monkeypatch.setattr(conformer, "LARGE", 3)
    assert (ligand_conformer(mol, 5) == expected).all()


@pytest.mark.parametrize("script, words", [
    ("kill -SEGV $$", "ended with code -11"),
    ("sleep 20", "within 0.1 s"),
    ("exit 0", "no 3D conformer"),
])
def test_crashing_or_hanging_child(monkeypatch, tmp_path, script, words):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    os.chmod(python, 0o755)
    monkeypatch.setattr(conformer.sys, "executable", str(python))
    monkeypatch.setattr(conformer, "LARGE", 3)
    monkeypatch.setattr(conformer, "GRACE", 1.0)
    with pytest.raises(ChemistryError, match=words):
        ligand_conformer(molecule_from_smiles("CC(=O)NCCO"), 5, seconds=0.1)


def test_sources_are_the_table_codes():
    assert [source.value for source in ConformerSource] == list(range(7))
