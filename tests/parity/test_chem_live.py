# SPDX-License-Identifier: Apache-2.0
"""Live parity of chemistry: the same chains and ligands through upstream's json_parser and ours.

Upstream runs on its 314-component cache, ours on the shipped table with upstream's conformers
imported, so that everything but the order of bonds must be equal to the bit.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from protenix.data.core import ccd as upstream_ccd
from protenix.data.core.substructure_perms import get_substructure_perms
from protenix.data.inference import json_parser
from protenix.data.inference.json_to_feature import SampleDictToFeatures

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.ligand import build_ligand
from protenix_ms.chem.molecule import component_molecule
from protenix_ms.chem.polymer import build_polymer
from protenix_ms.chem.residue import leaving_groups
from protenix_ms.constants.restypes import SEQUENCE_LETTERS
from protenix_ms.features.assembly import assemble
from protenix_ms.job import AtomAddress, CovalentBond, Job, Ligand, Modification, Polymer


@pytest.fixture(autouse=True)
def first_leaving_group(monkeypatch):
    """Upstream draws among several leaving groups; here it takes the first, our stated choice."""
    monkeypatch.setattr(json_parser.random, "sample", lambda groups, count: groups[:count])


def bond_set(pairs) -> set:
    return {tuple(sorted(pair)) for pair in np.asarray(pairs)[:, :2].tolist()}


def assert_same(table, array):
    """Compare our table with upstream's atom array with reference features."""
    for ours, theirs in [("atom_name",) * 2, ("element",) * 2, ("res_name",) * 2, ("res_id",) * 2,
                         ("charge", "ref_charge"), ("ref_mask",) * 2]:
        np.testing.assert_array_equal(getattr(table, ours), getattr(array, theirs), ours)
    assert bond_set(table.bonds) == bond_set(array.bonds.as_array())
    assert len(table.bonds) == len(bond_set(table.bonds))


PTM = (("SEP", 1), ("MSE", 4), ("TPO", 3), ("CSO", 5))
POLYMERS = {
    "protein": ("protein", "ACDEFGHIKLMNPQRSTVWYX", ()),
    "one residue": ("protein", "G", ()),
    "modified": ("protein", "SASMCKL", PTM),
    "modified at the end": ("protein", "SASMCKL", (("SEP", 7), ("PTR", 1), ("MLY", 6))),
    "caps": ("protein", "AGSKA", (("ACE", 1), ("NME", 5))),
    "amide": ("protein", "AGSKA", (("NH2", 5),)),
    "cap inside": ("protein", "AGSKA", (("ACE", 3), ("NME", 4))),
    "pyroglutamate, D, beta": ("protein", "QAAAA", (("PCA", 1), ("DAL", 3), ("HYP", 4))),
    "chromophore precursors": ("protein", "AAAA", (("LLP", 2), ("KCX", 3), ("CSX", 4))),
    "dna": ("dna", "ACGTXIUN", ()),
    "dna, modified": ("dna", "ACGTA", (("5CM", 2), ("8OG", 3), ("6MA", 5))),
    "rna": ("rna", "ACGUXIN", ()),
    "rna, modified": ("rna", "ACGUA", (("PSU", 1), ("OMC", 2), ("5MC", 5))),
    "rna with a triphosphate": ("rna", "GACU", (("GTP", 1),)),
    "rna with a ligand inside": ("rna", "GACU", (("ATP", 2),)),
    "dna and rna": ("dna", "ACGT", (("A", 2), ("U", 3))),
    "amino acid in dna": ("dna", "ACGT", (("ALA", 2),)),
    "nucleotide in protein": ("protein", "ACDE", (("DA", 1), ("DG", 3))),
}
KEYS = {"protein": ("proteinChain", "ptmPosition", "ptmType"),
        "dna": ("dnaSequence", "basePosition", "modificationType"),
        "rna": ("rnaSequence", "basePosition", "modificationType")}


def json_polymer(kind, sequence, modifications, count=1):
    entity, position, code = KEYS[kind]
    changes = [{position: p, code: f"CCD_{c}"} for c, p in modifications]
    return {entity: {"sequence": sequence, "count": count, "modifications": changes}}


@pytest.mark.filterwarnings("ignore:No C-N")
@pytest.mark.parametrize("case", POLYMERS)
def test_polymer(case, ccd):
    kind, sequence, modifications = POLYMERS[case]
    theirs = json_parser.build_polymer(json_polymer(kind, sequence, modifications))["atom_array"]
    ours = build_polymer(kind, sequence, tuple(Modification(*m) for m in modifications), ccd, True)
    assert_same(ours, theirs)
    np.testing.assert_array_equal(ours.ref_pos, theirs.ref_pos)


@pytest.mark.parametrize("codes", ["ATP", "NAG_BMA", "NAG_NAG_BMA_MAN", "HEM", "ZN", "SF4", "SO4"])
def test_component_ligand(codes, ccd):
    theirs = json_parser.build_ligand({"ligand": {"ligand": f"CCD_{codes}"}})["atom_array"]
    ours = build_ligand(Ligand(codes=tuple(codes.split("_"))), ccd, 0, 0)
    theirs.bonds = theirs.bonds or json_parser.struc.BondList(len(theirs))
    assert_same(ours, theirs)
    np.testing.assert_array_equal(ours.ref_pos, theirs.ref_pos)


SMILES = [
    "CC(=O)OC1=CC=CC=C1C(=O)O",
    "C[N+](C)(C)CCO",
    "[O-][N+](=O)c1ccc(Cl)cc1Br",
    "C[C@H](N)C(=O)[O-]",
    "CN(=O)=O",
    "[2H]C([2H])([2H])O",
    "[CH3:1]N[C:7](=O)c1cc[nH]c1",
    "F/C=C/[Si](C)(C)C",
    "CCO.Cl",
]


@pytest.mark.parametrize("smiles", SMILES)
def test_smiles(smiles, ccd):
    theirs = json_parser.smiles_to_atom_info(smiles)
    array = theirs["atom_array"]
    ours = build_ligand(Ligand(smiles=smiles), ccd, 7, 3)
    assert_charges_and_graph(ours, array)
    assert set(ours.res_name) == {"l03"}
    number = "atom_map" if (ours.atom_map > 0).any() else "atom_index"
    named = dict(zip(getattr(ours, number).tolist(), ours.atom_name.tolist()))
    heavy = {k: v for k, v in theirs["atom_map_to_atom_name"].items() if v in array.atom_name}
    assert {k: v for k, v in named.items() if k >= 0} == heavy
    assert (ours.ref_mask == 1).all() and np.ptp(ours.ref_pos, axis=0).max() > 1


def assert_charges_and_graph(table, array):
    for name in ("atom_name", "element", "charge"):
        np.testing.assert_array_equal(getattr(table, name), getattr(array, name), name)
    assert bond_set(table.bonds) == bond_set(array.bonds.as_array())


def ligand_files(folder: Path) -> list[Path]:
    """Write a drug-like molecule as SDF, MOL and PDB."""
    from rdkit import Chem
    from rdkit.Chem import AllChem

    mol = Chem.AddHs(Chem.MolFromSmiles("C[C@H](N)C(=O)Nc1ccc(cc1)S(=O)(=O)NC2CC2"))
    AllChem.EmbedMolecule(mol, randomSeed=7)
    sdf = folder / "x.sdf"
    with Chem.SDWriter(str(sdf)) as writer:
        writer.write(mol)
    Chem.MolToMolFile(mol, str(folder / "x.mol"))
    Chem.MolToPDBFile(mol, str(folder / "x.pdb"))
    return [sdf, folder / "x.mol", folder / "x.pdb"]


def test_files(tmp_path, ccd):
    for path in ligand_files(tmp_path):
        theirs = json_parser.lig_file_to_atom_info(str(path))["atom_array"]
        ours = build_ligand(Ligand(file=path), ccd, 0, 1)
        assert_charges_and_graph(ours, theirs)
        np.testing.assert_array_equal(ours.ref_pos, theirs.coord)


def job_array(sequences, bonds):
    """Return upstream's assembly after bonds and MSE -> MET, without annotations."""
    features = SampleDictToFeatures({"sequences": sequences, "covalent_bonds": bonds, "name": "x"})
    array = features.add_bonds_between_entities(features.build_full_atom_array())
    return features.mse_to_met(array)


BONDS = {
    "disulfide": ([(1, 1, 2, "SG"), (1, 1, 6, "SG")], None),
    "head to tail": ([(1, 1, 1, "N"), (1, 1, 7, "C")], None),
    "all copies to a glycan": ([(1, None, 4, "ND2"), (2, None, 1, "C1")], None),
    "glycan inside": ([(2, 1, 1, "O4"), (2, 1, 2, "C1")], None),
    "map number": ([(1, 2, 2, "SG"), (3, 1, 1, 7)], None),
    "digits as text": ([(1, 2, 2, "SG"), (3, 1, 1, "7")], None),
    "index": ([(1, 2, 2, "SG"), (4, 1, 1, 2)], None),
}


def side(entity, copy, position, atom, number, old):
    names = ("left", "right") if old else ("entity1", "entity2")
    if old:
        keys = [f"{names[number]}_{k}" for k in ("entity", "copy", "position", "atom")]
    else:
        keys = [f"{k}{number + 1}" for k in ("entity", "copy", "position", "atom")]
    return {k: v for k, v in zip(keys, (entity, copy, position, atom)) if v is not None}


@pytest.mark.parametrize("case", [*BONDS, "everything"])
def test_covalent_bonds(case, ccd):
    chosen = [ends for name, (ends, _) in BONDS.items()
              if case == name or (case == "everything" and name not in ("digits as text", "index"))]
    sequences = [
        json_polymer("protein", "GCMNSCK", (("MSE", 3),), 2),
        {"ligand": {"ligand": "CCD_NAG_BMA", "count": 2}},
        {"ligand": {"ligand": "[CH3:1]N[C:7](=O)c1cc[nH]c1", "count": 1}},
        {"ligand": {"ligand": "OCC(=O)C", "count": 1}},
    ]
    bonds = [{**side(*first, 0, i % 2), **side(*second, 1, i % 2)}
             for i, (first, second) in enumerate(chosen)]
    theirs = job_array(sequences, bonds)
    job = Job(
        name="x",
        entities=(
            Polymer("protein", "GCMNSCK", 2, modifications=(Modification("MSE", 3),)),
            Ligand(codes=("NAG", "BMA"), count=2),
            Ligand(smiles="[CH3:1]N[C:7](=O)c1cc[nH]c1"),
            Ligand(smiles="OCC(=O)C"),
        ),
        bonds=tuple(CovalentBond(*(AtomAddress(e, p, a, c) for e, c, p, a in ends))
                    for ends in chosen),
    )
    ours = assemble(job, ccd, np.random.default_rng(0))
    assert_same(ours, theirs)
    np.testing.assert_array_equal(ours.chain_id, theirs.chain_id)
    np.testing.assert_array_equal(ours.hetero, theirs.hetero)


def test_every_cached_component(ccd):
    """Atoms, charges, leaving groups, types and masks of all components upstream has here."""
    codes = upstream_ccd.get_all_ccd_code()
    assert len(codes) > 300
    for code in codes:
        theirs = upstream_ccd.get_component_atom_array(code, keep_leaving_atoms=True)
        ours = ccd[code]
        assert ours.mol_type == upstream_ccd.get_mol_type(code), code
        assert (ours.one_letter or None) == upstream_ccd.get_one_letter_code(code), code
        if theirs is None:
            assert len(ours) == 0, code
            continue
        for name, column in [("atom_name", "atom_name"), ("element", "element"),
                             ("charge", "charge"), ("leaving", "leaving_atom_flag")]:
            assert (getattr(ours, name) == getattr(theirs, column)).all(), (code, name)
        if theirs.bonds is not None:
            assert bond_set(ours.bonds) == bond_set(theirs.bonds.as_array()), code
        groups = {k: sorted(map(sorted, v)) for k, v in leaving_groups(ours).items()}
        expected = {str(k): sorted(map(sorted, v))
                    for k, v in (theirs.central_to_leaving_groups or {}).items()}
        assert groups == expected, code


def test_own_charges_and_masks_equal_the_imported_ones(ccd):
    """Our table's reference charges and masks are upstream's, whatever the conformer."""
    own = ComponentDictionary.load()
    for code in upstream_ccd.get_all_ccd_code():
        assert (own[code].ref_charge == ccd[code].ref_charge).all(), code
        assert (own[code].ref_mask == ccd[code].ref_mask).all(), code


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(int(os.environ.get("PROTENIX_MS_FUZZ", 12))))
def test_random_chains(seed, ccd):
    """Chains with any cached component anywhere: gaps, mixed types, several leaving groups."""
    rng = np.random.default_rng(seed)
    kind = ["protein", "dna", "rna"][seed % 3]
    length = int(rng.integers(2, 8))
    sequence = "".join(rng.choice(list(SEQUENCE_LETTERS[kind]), length))
    codes = [code for code in upstream_ccd.get_all_ccd_code() if len(ccd[code])]
    places = rng.permutation(length)[: rng.integers(0, length + 1)] + 1
    modifications = [(str(rng.choice(codes)), int(p)) for p in places]
    theirs = json_parser.build_polymer(json_polymer(kind, sequence, modifications))["atom_array"]
    ours = build_polymer(kind, sequence, tuple(Modification(*m) for m in modifications), ccd, True)
    assert_same(ours, theirs)
    np.testing.assert_array_equal(ours.ref_pos, theirs.ref_pos)


# Upstream sees the geometry of an amidine's hydrogens (BEN) and stereo centres in its ideal
# coordinates that the conformer lacks (CDL); ours allows twice the permutations there.
WIDER = {"BEN", "CDL"}


def heavy_permutations(code: str) -> set:
    """Return upstream's permutations, in indices of heavy atoms."""
    mol = upstream_ccd.get_component_rdkit_mol(code)
    heavy = [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomicNum() != 1]
    place = {index: i for i, index in enumerate(heavy)}
    rows = upstream_ccd.get_ccd_ref_info(code)["perm"][heavy]
    return {tuple(place[int(x)] for x in column) for column in rows.T}


def test_molecules_have_upstream_symmetry(ccd):
    """Molecules of heavy atoms with hydrogen counts permute as upstream's with all hydrogens."""
    for code in upstream_ccd.get_all_ccd_code()[::3]:
        if len(ccd[code]) == 0:
            continue
        theirs = heavy_permutations(code)
        mol = component_molecule(ccd[code])
        assert [atom.GetProp("name") for atom in mol.GetAtoms()] == ccd[code].atom_name.tolist()
        ours = {tuple(map(int, p)) for p in get_substructure_perms(mol, MaxMatches=1000)}
        assert ours >= theirs if code in WIDER else ours == theirs, code
