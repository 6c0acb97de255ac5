# SPDX-License-Identifier: Apache-2.0
"""Inputs that a dialect's owner refuses, and keys that nobody reads: none is dropped in silence."""

from __future__ import annotations

import json

from bad_input import QUERY, SEQUENCE, BadInput, alphafold3, bond, contact, job, protein

_AF_PROTEIN = {"protein": {"id": "A", "sequence": SEQUENCE}}
_AF_ATP = {"ligand": {"id": "L", "ccdCodes": ["ATP"]}}
_BOND = [["A", 1, "N"], ["L", 1, "PG"]]


def _chain(kind: str = "protein", sequence: str = SEQUENCE, **extra: object) -> str:
    return alphafold3({kind: {"id": "A", "sequence": sequence, **extra}})


def _server(*entities: dict, **extra: object) -> str:
    base = {"name": "j", "modelSeeds": [], "dialect": "alphafoldserver", "version": 1}
    return json.dumps([{**base, "sequences": list(entities), **extra}])


_ATOMS = "loop_ _chem_comp_atom.atom_id _chem_comp_atom.type_symbol C1 C C2 C\n"
_BONDS = "loop_ _chem_comp_bond.atom_id_1 _chem_comp_bond.atom_id_2 _chem_comp_bond.value_order\n"
BAD_COMPONENTS = [
    ("that is no mmCIF", "hello", ("no mmCIF text",)),
    ("without atoms", "data_X", ("component X has no atoms",)),
    ("named as a residue", f"data_ALA\n{_ATOMS}", ("ALA is a standard residue",)),
    ("with a bond to nowhere", f"data_X\n{_ATOMS}{_BONDS}C1 C9 SING\n", ("a bond to 'C9'",)),
    ("with an odd order", f"data_X\n{_ATOMS}{_BONDS}C1 C2 FOUR\n", ("C1-C2 has no order",)),
    ("with an odd element", f"data_X\n{_ATOMS.replace('C2 C', 'C2 Qq')}", ("element 'QQ'",)),
    ("with one name twice", f"data_X\n{_ATOMS.replace('C2', 'C1')}", ("have one name",)),
    ("with a bond twice", f"data_X\n{_ATOMS}{_BONDS}C1 C2 SING\nC2 C1 DOUB\n",
     ("C2-C1 stands there twice",)),
    ("with an odd charge", "data_X\nloop_ _chem_comp_atom.atom_id _chem_comp_atom.type_symbol "
     "_chem_comp_atom.charge C1 C 1+ C2 C ?\n", ("the charge '1+'",)),
    ("twice", f"data_X\n{_ATOMS}data_Y\n_chem_comp.id X\n{_ATOMS}", ("stands there twice",)),
    ("of hydrogens", "data_X\nloop_ _chem_comp_atom.atom_id _chem_comp_atom.type_symbol H1 H\n",
     ("hydrogens only",)),
    ("with an odd name", f"data_X_Y\n{_ATOMS}", ("'X_Y' cannot name a component",)),
]

_ALPHAFOLD3 = [
    *(BadInput(f"user CCD {name}", alphafold3(_AF_PROTEIN, userCCD=text), ("userCCD", *expected),
               chemistry=True)
      for name, text, expected in BAD_COMPONENTS),
    BadInput("AF3 without id", alphafold3({"rna": {"sequence": "ACG"}}), ("entity 1 (rna)", "id")),
    BadInput("AF3 version", alphafold3(_AF_PROTEIN, version=9), ("version is 9",)),
    BadInput(
        "AF3 bond to no chain",
        alphafold3(_AF_PROTEIN, bondedAtomPairs=[[["A", 1, "N"], ["Q", 1, "C1"]]]),
        ("bonded atom pair 1", "no chain 'Q'"),
    ),
    BadInput(
        "AF3 bond of one end",
        alphafold3(_AF_PROTEIN, bondedAtomPairs=[[["A", 1, "N"]]]),
        ("1 ends",),
    ),
    BadInput(
        "AF3 ligand of both kinds",
        alphafold3({"ligand": {"id": "L", "ccdCodes": ["ATP"], "smiles": "C"}}),
        ("either ccdCodes or smiles",),
    ),
    BadInput(
        "AF3 ids repeat", alphafold3(_AF_PROTEIN, _AF_PROTEIN), ("entity 2", "'A' is used twice")
    ),
    BadInput(
        "AF3 code of another type",
        alphafold3({"ligand": {"id": "L", "ccdCodes": [3]}}),
        ("write text",),
    ),
]

_ALPHAFOLD3_FIELDS = [
    BadInput("AF3 user CCD by path", alphafold3(_AF_PROTEIN, userCCD="", userCCDPath="x.cif"),
             ("userCCDPath", "x.cif")),
    BadInput("AF3 user CCD twice", alphafold3(_AF_PROTEIN, userCCD="data_X", userCCDPath="x.cif"),
             ("userCCD and userCCDPath stand together", "keep one")),
    *(BadInput(f"glycan {name}", _server({"proteinChain": {
        "sequence": "GNASK", "count": 1, "glycans": [glycan]}}), ("glycan 1", *expected))
      for name, glycan, expected in (
        ("nowhere", {"residues": "NAG", "position": 9}, ("position is 9",)),
        ("on glycine", {"residues": "NAG", "position": 1}, ("G 1 carries no glycan",)),
        ("without a tree", {"residues": "NAG(", "position": 2}, ("the end",)),
        ("of unknown linkage", {"residues": "XYS(NAG)", "position": 2}, ("NAG bonds to XYS",)),
        ("of many branches", {"residues": "NAG(MAN)(MAN)(MAN)(MAN)", "position": 2},
         ("more branches",)))),
    BadInput("AF3 count", _chain(count=2), ("entity 1 (protein)", "'count'", "one id per copy")),
    BadInput("AF3 unknown key", _chain(circular=True), ("entity 1 (protein)", "'circular'")),
    BadInput("AF3 unknown job key", alphafold3(_AF_PROTEIN, notes="x"), ("job 1", "'notes'")),
    BadInput("AF3 job key of Protenix", alphafold3(_AF_PROTEIN, constraint={"a": 1}),
             ("'constraint'",)),
    BadInput("AF3 ligand count", alphafold3({"ligand": {"id": "L", "smiles": "C", "count": 2}}),
             ("entity 1 (ligand)", "'count'")),
    BadInput("AF3 RNA paired", _chain("rna", "GGACC", pairedMsa=">q\nGGACC\n"), ("'pairedMsa'",)),
    BadInput("AF3 RNA paired path", _chain("rna", "GGACC", pairedMsaPath="x"),
             ("'pairedMsaPath'",)),
    BadInput("AF3 RNA templates", _chain("rna", "GGACC", templates=[]), ("'templates'",)),
    BadInput("AF3 DNA aligned", _chain("dna", "GGATT", unpairedMsa=">q\nGGATT\n"),
             ("entity 1 (dna)", "'unpairedMsa'")),
    BadInput("AF3 DNA aligned by path", _chain("dna", "GGATT", unpairedMsaPath="x"),
             ("'unpairedMsaPath'",)),
    BadInput("AF3 text and path", _chain(unpairedMsa=QUERY, unpairedMsaPath="x.a3m"),
             ("unpairedMsa and unpairedMsaPath",), files={"x.a3m": QUERY}),
    BadInput("AF3 paired text and path", _chain(pairedMsa=QUERY, pairedMsaPath="x.a3m"),
             ("pairedMsa and pairedMsaPath",), files={"x.a3m": QUERY}),
    BadInput("AF3 templates as text", _chain(templates="x"), ("templates is text", "a list")),
    BadInput("AF3 key of a modification",
             _chain(modifications=[{"ptmType": "SEP", "ptmPosition": 1, "chain": "A"}]),
             ("modifications 1", "'chain'")),
    BadInput("AF3 modification with CCD_",
             _chain(modifications=[{"ptmType": "CCD_SEP", "ptmPosition": 1}]),
             ("modifications 1", "AlphaFold 3 writes SEP without CCD_")),
    BadInput("AF3 ligand with CCD_", alphafold3({"ligand": {"id": "L", "ccdCodes": ["CCD_ATP"]}}),
             ("entity 1 (ligand)", "AlphaFold 3 writes ATP without CCD_")),
    BadInput("AF3 bond twice",
             alphafold3(_AF_PROTEIN, _AF_ATP, bondedAtomPairs=[_BOND, _BOND[::-1]]),
             ("bonded atom pair 2", "same bond as bond 1")),
    BadInput("AF3 bond to a SMILES",
             alphafold3(_AF_PROTEIN, {"ligand": {"id": "L", "smiles": "CCO"}},
                        bondedAtomPairs=[_BOND]),
             ("bonded atom pair 1", "'L' is a SMILES")),
    BadInput("AF3 seed too large", alphafold3(_AF_PROTEIN, modelSeeds=[2**32]),
             ("modelSeeds 1 is 4294967296",)),
    BadInput("AF3 seed below zero", alphafold3(_AF_PROTEIN, modelSeeds=[1, -1]),
             ("modelSeeds 2 is -1",)),
    BadInput("AF3 lower case", _chain(sequence="MKt"), ("position 3", "upper case")),
    BadInput("AF3 digit", _chain(sequence="MK1"), ("position 3", "'1'")),
    BadInput("AF3 stop", _chain(sequence="MK*"), ("position 3", "'*'")),
    BadInput("AF3 gap", _chain("rna", "AC-G"), ("position 3", "'-'")),
    BadInput("AF3 name of nothing", alphafold3(_AF_PROTEIN, name="///"), ("'///'",)),
    BadInput("AF3 without dialect", json.dumps({"name": "a", "sequences": [_AF_PROTEIN]}),
             ("looks like AlphaFold 3", 'add "dialect": "alphafold3"')),
    BadInput("AF3 ligand without dialect", json.dumps([{"name": "a", "sequences": [_AF_ATP]}]),
             ("looks like AlphaFold 3",)),
]

_SERVER = [
    BadInput("server version", _server(protein(), version=3), ("version is 3", "use 1")),
    BadInput("server template date", _server(protein(maxTemplateDate="2020-01-01")),
             ("entity 1 (proteinChain)", "'maxTemplateDate'")),
    BadInput("server template switch", _server(protein(useStructureTemplate="no")),
             ("useStructureTemplate is text",)),
    BadInput("server alignment", _server(protein(unpairedMsa=QUERY)), ("'unpairedMsa'",)),
    BadInput("server ids", _server(protein(id=["A"])), ("'id'", "leave out dialect")),
    BadInput("server bonds", _server(protein(), covalent_bonds=[{"entity1": 1}]),
             ("'covalent_bonds'", "leave out dialect")),
    BadInput("server RNA templates", _server({"rnaSequence": {
        "sequence": "ACGU", "count": 1, "useStructureTemplate": True}}), ("useStructureTemplate",)),
    BadInput("server SMILES", _server({"ligand": {"ligand": "CC(=O)O", "count": 1}}),
             ("'CC(=O)O' is not a CCD code",)),
    BadInput("server glycans", _server(protein(glycans=[{"residues": "NAG"}])), ("glycans",)),
    BadInput("server seed", _server(protein(), modelSeeds=["4294967296"]), ("modelSeeds 1",)),
    BadInput("server lower case", _server(protein(sequence="MKu")), ("'u'",)),
]

_UNREAD = [
    BadInput("unread job key", job(protein(), comment="x"), ("job 1", "'comment'")),
    BadInput("contact at job level", job(protein(), contact=[]),
             ("'contact'", '"constraint": {"contact"')),
    BadInput("pocket at job level", job(protein(), pocket={"a": 1}), ('"constraint": {"pocket"',)),
    BadInput("seeds", job(protein(), seeds=[1]), ("'seeds'", "'modelSeeds'")),
    BadInput("bonds", job(protein(), bonds=[1]), ("'bonds'", "'covalent_bonds'")),
    BadInput("version alone", job(protein(), version=1), ("'version'", '"dialect"')),
    BadInput("userCCD", job(protein(), userCCD="data_X"), ("userCCD", "X has no atoms"),
             chemistry=True),
    BadInput("unread chain key", job(protein(circular=True)),
             ("entity 1 (proteinChain)", "'circular'")),
    BadInput("unread ligand key", job({"ligand": {"ligand": "CCD_ATP", "charge": 0}}),
             ("entity 1 (ligand)", "'charge'")),
    BadInput("unread ion key", job({"ion": {"ion": "MG", "smiles": "x"}}), ("'smiles'",)),
    BadInput("unread RNA key", job({"rnaSequence": {"sequence": "ACGU", "templatesPath": "t"}}),
             ("entity 1 (rnaSequence)", "'templatesPath'")),
    BadInput("unread key of msa", job(protein(msa={"precomputed_msa_dir": "m", "mode": "x"})),
             ("msa", "'mode'")),
    BadInput("unread bond key", bond(order=2), ("covalent bond 1", "'order'")),
    BadInput("bond in two spellings", bond(left_entity=1),
             ("covalent bond 1", "entity1 and left_entity")),
    BadInput("path of an unknown kind", job({"ligand": {"ligand": "../lig.ent"}}),
             ("FILE_../lig.ent",)),
    BadInput("unread contact key", contact(weight=1), ("contact 1", "'weight'")),
    BadInput("unread constraint", job(protein(), constraint={"distance": [1]}), ("'distance'",)),
    BadInput("unread key of a modification", job(protein(modifications=[
        {"ptmType": "CCD_SEP", "ptmPosition": 1, "chain": 1}])), ("modifications 1", "'chain'")),
    BadInput("bond twice", job(protein(count=2), {"ligand": {"ligand": "CCD_NAG", "count": 2}},
             covalent_bonds=[
                 {"entity1": 1, "position1": 1, "atom1": "N",
                  "entity2": 2, "position2": 1, "atom2": "C1"},
                 {"entity1": 2, "copy1": 2, "position1": 1, "atom1": "C1",
                  "entity2": 1, "copy2": 2, "position2": 1, "atom2": "N"}]),
             ("covalent bond 2", "same bond as bond 1")),
    BadInput("position 2 of a ligand of one", contact(position2=2), ("position2 is 2", "use 1")),
    BadInput("rare letter", job(protein(sequence="MKU")),
             ("position 3", "'U'", "write X, or CCD_SEC as a modification")),
    BadInput("rare letter in FASTA", ">a\nMKB\n", ("write X, or CCD_SEC as a modification",),
             ".fasta"),
    BadInput("no SMILES but a file", alphafold3({"ligand": {"id": "L", "smiles": "x.SDF"}}),
             ("'x.SDF' is the name of a file",)),
]

DIALECTS = [*_ALPHAFOLD3, *_ALPHAFOLD3_FIELDS, *_SERVER, *_UNREAD]
