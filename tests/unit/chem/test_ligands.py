# SPDX-License-Identifier: Apache-2.0
"""Ligands from codes, SMILES and files; conformers; every refusal."""

import os
import subprocess

import numpy as np
import pytest
from rdkit import Chem

from protenix_ms.chem import conformer, ligand_file
from protenix_ms.chem.conformer import embed, ligand_conformer
from protenix_ms.chem.ligand import build_ligand, molecule_from_smiles
from protenix_ms.errors import ChemistryError, InputError
from protenix_ms.io import validate
from protenix_ms.job import Job, Ligand

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


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
    assert table.atom_index.tolist() == list(range(13))


def test_map_numbers(ccd):
    table = build(ccd, smiles="[CH3:5]C[OH:2]")
    assert table.atom_map.tolist() == [5, -1, 2]


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
    ("C1CC", "not valid SMILES"),
    ("not a molecule", "not valid SMILES"),
    ("C(C)(C)(C)(C)C", "not a possible molecule.*valence"),
    ("", "no atoms"),
    ("[H][H]", "no atoms but hydrogen"),
    ("CC*", "atom 3 is a dummy"),
    ("[*]", "dummies"),
])
def test_refused_smiles(ccd, smiles, words):
    with pytest.raises(ChemistryError, match=f"(?s)^SMILES.*{words}.*; .*\\.$"):
        build(ccd, smiles=smiles)


def test_a_code_in_place_of_a_smiles_is_told_how_to_be_written():
    with pytest.raises(ChemistryError, match='write CCD_ATP .*"dialect": "alphafoldserver"'):
        molecule_from_smiles("ATP")


def test_refused_codes(ccd):
    with pytest.raises(ChemistryError, match="UNL has no atoms"):
        build(ccd, codes=("UNL",))
    with pytest.raises(ChemistryError, match="unknown component 'NAGG'"):
        build(ccd, codes=("NAG", "NAGG"))
    with pytest.raises(ChemistryError, match="more than 99"):
        build(ccd, smiles="C", index=100)


def write_files(folder) -> Chem.Mol:
    """Write a chiral molecule in every format."""
    mol = Chem.AddHs(Chem.MolFromSmiles("C[C@H](O)c1ccncc1"))
    conformer_id = mol.AddConformer(Chem.Conformer(mol.GetNumAtoms()))
    mol.GetConformer(conformer_id).SetPositions(embed(mol, 1)[0].astype(float))
    mol.GetConformer(conformer_id).Set3D(True)
    with Chem.SDWriter(str(folder / "x.sdf")) as writer:
        writer.write(mol)
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


def drawn(smiles, hydrogens=True) -> Chem.Mol:
    """Make a molecule with coordinates."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    conformer_id = mol.AddConformer(Chem.Conformer(mol.GetNumAtoms()))
    mol.GetConformer(conformer_id).SetPositions(embed(mol, 1)[0].astype(float))
    mol.GetConformer(conformer_id).Set3D(True)
    return mol if hydrogens else Chem.RemoveHs(mol)


def once_per_bond(pdb: str, both_ends: bool = False) -> str:
    """Write CONECT records as most programs do, without repeats for double bonds."""
    lines, seen = [], set()
    for line in pdb.splitlines():
        if line.startswith("CONECT"):
            first, *others = line[6:].split()
            others = [o for o in dict.fromkeys(others) if both_ends or (o, first) not in seen]
            seen |= {(first, other) for other in others}
            line = "CONECT" + "".join(f"{n:>5}" for n in (first, *others))
            if not others:
                continue
        lines.append(line)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("edit", [
    once_per_bond, lambda pdb: once_per_bond(pdb, both_ends=True),
    lambda pdb: "\n".join(line for line in pdb.splitlines() if "CONECT" not in line),
    lambda pdb: pdb.replace(next(li for li in pdb.splitlines() if "CONECT" in li), "REMARK", 1),
], ids=["once", "once from both ends", "none", "one record missing"])
@pytest.mark.parametrize("hydrogens", [True, False])
def test_pdb_that_does_not_tell_bond_orders(ccd, tmp_path, edit, hydrogens):
    block = Chem.MolToPDBBlock(drawn("C#CCc1cnccc1C(=O)O", hydrogens))
    (tmp_path / "a.pdb").write_text(block)
    assert sorted(build(ccd, file=tmp_path / "a.pdb").bonds[:, 2].tolist())[-5:] == [2, 2, 2, 2, 3]
    (tmp_path / "b.pdb").write_text(edit(block))
    if hydrogens and "REMARK" in edit(block):
        return  # the missing record may be of a hydrogen, which tells nothing about orders
    with pytest.raises(ChemistryError, match="b.pdb: a PDB file does not tell bond orders; give "):
        build(ccd, file=tmp_path / "b.pdb")


def test_pdb_whose_hydrogens_tell_that_all_bonds_are_single(ccd, tmp_path):
    block = once_per_bond(Chem.MolToPDBBlock(drawn("OCC1CCCN1C")))
    (tmp_path / "a.pdb").write_text(block)
    assert set(build(ccd, file=tmp_path / "a.pdb").bonds[:, 2]) == {1}
    (tmp_path / "ion.pdb").write_text(
        "HETATM    1 ZN    ZN A   1       1.000   2.000   3.000  1.00  0.00          ZN\n")
    assert build(ccd, file=tmp_path / "ion.pdb").element.tolist() == ["ZN"]


def several(folder) -> dict[str, str]:
    """Write files of several molecules, with the words of their refusal."""
    mol = drawn("NCCO")
    sdf, pdb = Chem.MolToMolBlock(mol), Chem.MolToPDBBlock(mol)
    moved = pdb.replace("UNL     1", "UNL     2").replace("END\n", "")
    atoms = "".join(line + "\n" for line in pdb.splitlines() if line.startswith("HETATM"))
    files = {
        "three.sdf": (f"{sdf}$$$$\n" * 3, "3 molecules"),
        "crlf.SDF": ((f"{sdf}$$$$\n" * 2).replace("\n", "\r\n"), "2 molecules"),
        "unended.sdf": (f"{sdf}$$$$\n{sdf}", "2 molecules"),
        "renamed.mol": (f"{sdf}$$$$\n" * 4, "4 molecules"),
        "joined.mol": (sdf * 2, "2 molecules"),
        "broken_second.sdf": (f"{sdf}$$$$\nnonsense\n$$$$\n", "2 molecules"),
        "two.mol2": (MOL2 * 2, "2 molecules"),
        "residues.pdb": (moved + pdb, "2 residues"),
        "chains.pdb": (atoms + atoms.replace("UNL     1", "UNL A   1"), "2 residues"),
        "models.pdb": ("".join(f"MODEL     {i}\n{atoms}ENDMDL\n" for i in (1, 2)), "2 models"),
        "ends.pdb": (pdb * 2, "2 models"),
        "altloc.pdb": (atoms.replace("C1  UNL", "C1 AUNL").replace("C2  UNL", "C2 BUNL"),
                       "2 alternative positions"),
    }
    for name, (text, _) in files.items():
        (folder / name).write_bytes(text.encode())
    return {name: words for name, (_, words) in files.items()}


def test_several_molecules_are_refused_with_their_number(ccd, tmp_path):
    for name, words in several(tmp_path).items():
        with pytest.raises(ChemistryError, match=f"{name}: it holds {words}.*; give one molecule"):
            build(ccd, file=tmp_path / name)


def test_one_molecule_with_what_stands_around_it(ccd, tmp_path):
    sdf = Chem.MolToMolBlock(drawn("NCCO"))
    texts = {"fields.sdf": f"{sdf}>  <ID>\n3\n\n$$$$\n\n\n", "cr.mol": sdf.replace("\n", "\r"),
             "bom.sdf": f"\ufeff{sdf}$$$$\n", "long.sdf": f"{sdf}>  <X>\n{'x' * 2**21}\n\n$$$$\n",
             "model.pdb": f"MODEL        1\n{Chem.MolToPDBBlock(drawn('NCCO'))}"}
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text.encode())
        assert len(build(ccd, file=tmp_path / name)) == 4, name


def large_files() -> dict[str, str]:
    flat = Chem.MolFromSmiles("C" * 501)
    flat.AddConformer(Chem.Conformer(501))
    atom = "HETATM{:5d}  C   UNL     1       1.000   2.000   3.000  1.00  0.00           C\n"
    head, rest = MOL2.split(" 1 CA")
    v3000 = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO"), forceV3000=True)
    return {
        "heavy.mol": Chem.MolToMolBlock(flat),
        "many.pdb": "".join(atom.format(i % 99999) for i in range(3000)),
        "many.mol2": head + " 1 CA 0 0 0 C.3 1 LIG 0.0\n" * 3000 + " 1 CA" + rest,
        "many.sdf": v3000.replace("COUNTS 3", "COUNTS 99999999"),
        "text.mol": "\n" * 2**20 + "M  END\n",
    }


def test_a_large_ligand_is_refused_before_rdkit_reads_it(ccd, tmp_path, monkeypatch):
    for name, text in large_files().items():
        (tmp_path / name).write_text(text)
        if name == "text.mol":  # the others too, but for one whose text does not tell
            monkeypatch.setattr(ligand_file, "_read", None)
        with pytest.raises(ChemistryError, match=f"{name}: it (has|holds) .*at most 500"):
            build(ccd, file=tmp_path / name)


@pytest.mark.parametrize("smiles, says", [
    ("C" * 501, "501 heavy atoms, a ligand at most 500"),
    ("C" * 6000, "6000 heavy atoms"),
    ("[C@@H](Cl)(Br)" * 167 + "[2H][H+]", "501 heavy atoms"),
    ("c1ccccc1" * 5000, "40000 characters"),
    ("[Hg]" * 501, "501 heavy"),
])
def test_a_long_smiles_is_refused_by_its_text(monkeypatch, ccd, smiles, says):
    monkeypatch.setattr(Chem, "MolFromSmiles", None)
    with pytest.raises(ChemistryError, match=says):
        build(ccd, smiles=smiles)
    with pytest.raises(InputError, match=f"entity 1, SMILES .*{says}"):
        validate(Job("j", (Ligand(smiles=smiles),)), ccd)


def test_five_hundred_heavy_atoms_are_read():
    assert molecule_from_smiles("C" * 499 + "[Si]([2H])[H]").GetNumHeavyAtoms() == 500


def test_a_bad_ligand_file_is_refused_with_the_job(ccd, tmp_path):
    (tmp_path / "two.mol2").write_text(MOL2 * 2)
    job = Job("j", (Ligand(codes=("ATP",)), Ligand(file=tmp_path / "two.mol2")), source="j.json")
    with pytest.raises(InputError, match="^j.json 'j', entity 2, ligand file .*2 molecules"):
        validate(job, ccd)


@pytest.mark.parametrize("smiles, says", [
    ("CC(=O)N1C[C@H]2CC[C@H]1c1ccccc12",
     r"its stereocentres cannot be satisfied together \(atoms 6, 9\)"),
    ("O1C[C@@H]2C[C@@]1(C)CC2", None),  # the same kind of bridge, with tags that agree
])
def test_contradictory_stereocentres_are_named(smiles, says):
    mol = molecule_from_smiles(smiles)
    if says is None:
        assert np.isfinite(ligand_conformer(mol, 1, seconds=6.0)).all()
        return
    with pytest.raises(ChemistryError, match=f"{says}; check @ and @@"):
        ligand_conformer(mol, 1, seconds=3.0)


def test_a_child_keeps_to_its_memory(monkeypatch):
    monkeypatch.setattr(conformer, "LARGE", 3)
    script = ("import resource; from protenix_ms.chem import conformer\n"
              "conformer.embed = lambda *_: bytearray(conformer.CHILD_MEMORY)\n"
              "conformer._child()")
    done = subprocess.run([conformer.sys.executable, "-c", script, "1", "1"],
                          input=molecule_from_smiles("C").ToBinary(),
                          env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, capture_output=True)
    assert done.returncode == conformer._NO_MEMORY
    monkeypatch.setattr(conformer.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(ChemistryError, match="more than 4 GiB of memory .*7 heavy atoms"):
        ligand_conformer(molecule_from_smiles("CC(=O)NCCO"), 5)


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


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e300", "20000.0"])
def test_coordinates_that_are_no_places_are_refused(ccd, tmp_path, value):
    write_files(tmp_path)
    mol = Chem.MolFromMolFile(str(tmp_path / "x.mol"))
    texts = {"a.mol2": MOL2.replace("1.520", value),
             "b.mol": Chem.MolToV3KMolBlock(mol)}
    x = texts["b.mol"].split("M  V30 2 C ")[1].split()[0]
    texts["b.mol"] = texts["b.mol"].replace(x, value)
    if "n" in value:
        for name in ("x.mol", "x.pdb"):
            lines = (tmp_path / name).read_text().split("\n")
            at = 5 if name == "x.mol" else 1
            first, last = (10, 20) if name == "x.mol" else (38, 46)
            lines[at] = lines[at][:first] + value.rjust(last - first) + lines[at][last:]
            texts[name] = "\n".join(lines)
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ChemistryError, match=f"(?s){name}.*atom.* no number or beyond"):
            build(ccd, file=tmp_path / name)


def test_dummy_atom_in_a_file(ccd, tmp_path):
    (tmp_path / "x.mol2").write_text(MOL2.replace("O.3", "Du"))
    with pytest.raises(ChemistryError, match="dummy|cannot read"):
        build(ccd, file=tmp_path / "x.mol2")
