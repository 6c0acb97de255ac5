# SPDX-License-Identifier: Apache-2.0
"""Inputs that must be refused: what is written to disk, and what the one sentence must name.

`CASES` is a list of `BadInput`; `write` puts one into a folder and returns the arguments for
`read_jobs` (the path, and the ``--msa`` path or None). Used by the tests of readers and of the
command line.
"""

from __future__ import annotations

import json

from bad_dialects import DIALECTS
from bad_fasta import FASTA
from bad_foreign import FOREIGN
from bad_input import (
    NAG,
    BadInput,
    bond,
    contact,
    job,
    modified,
    protein,
)
from bad_templates import TEMPLATES

_E1 = "entity 1 (proteinChain)"

_FILES = [
    BadInput("missing file", None, ("no such file",)),
    BadInput("empty file", "", ("empty",), ".txt"),
    BadInput("neither format", "hello\n", ("neither FASTA nor JSON",), ".txt"),
    BadInput("not UTF-8", b'[{"name": "\xff\xfe"}]', ("not UTF-8", "byte 11")),
    BadInput("UTF-16", '[{"name": "j"}]'.encode("utf-16"), ("not UTF-8",)),
    BadInput("zero bytes", "[\0]", ("zero bytes",)),
    BadInput("truncated JSON", job(protein())[:-12], ("not valid JSON", "line 1, column")),
    BadInput("trailing comma", '[{"name": "j",}]', ("not valid JSON", "column")),
    BadInput("deep nesting", "[" * 200_000, ("nested too deeply",)),
    BadInput("NaN", '[{"name": "j", "x": NaN}]', ("NaN",)),
    BadInput("Infinity", '[{"name": "j", "x": -Infinity}]', ("-Infinity",)),
    BadInput("endless number", '[{"name": "j", "x": ' + "9" * 5000 + "}]", ("5000 digits",)),
    BadInput("repeated key", '[{"name": "j", "name": "k"}]', ("'name'", "twice")),
    BadInput("JSON of a number", "3", ("the document", "a list")),
    BadInput("empty list", "[]", ("list of jobs is empty",)),
    BadInput("job is text", '["j"]', ("job 1", "write an object")),
    BadInput("JSON null", "null", ("null",)),
]

_JOBS = [
    BadInput("no name", '[{"sequences": []}]', ("job 1", "name is missing")),
    BadInput("name is a number", '[{"name": 3, "sequences": []}]', ("name is a whole number",)),
    BadInput("name is a path", '[{"name": "../x", "sequences": []}]', ("job name '../x'",)),
    BadInput("name that is no text", '[{"name": "a\\udce9", "sequences": []}]', ("not UTF-8",)),
    BadInput("name too long", json.dumps([{"name": "n" * 300}]), ("200",)),
    BadInput("no sequences", '[{"name": "j"}]', ("job 1 'j'", "sequences is missing")),
    BadInput("empty sequences", job(), ("sequences is empty",)),
    BadInput("sequences is an object", '[{"name": "j", "sequences": {}}]', ("write a list",)),
    BadInput("misspelt key", job(protein(), modelSeed=[1]), ("write 'modelSeeds'",)),
    BadInput("seed is text", job(protein(), modelSeeds=["x"]), ("modelSeeds 1", "text")),
    BadInput("negative seed", job(protein(), modelSeeds=[-1]), ("modelSeeds 1 is -1",)),
    BadInput("seeds not a list", job(protein(), modelSeeds=7), ("modelSeeds", "write a list")),
    BadInput(
        "same job name twice",
        json.dumps(json.loads(job(protein())) * 2),
        ("job 2", "'j' is used twice", "job 1"),
    ),
    BadInput("unknown entity", job({"peptide": {}}), ("entity 1", "exactly one of", "peptide")),
    BadInput("misspelt entity", job({"proteinChian": {}}), ("write 'proteinChain'",)),
    BadInput("two entities in one", job({**protein(), **NAG}), ("exactly one of",)),
    BadInput("entity is a list", job({"ion": ["MG"]}), ("entity 1 (ion)", "write an object")),
    BadInput("unknown dialect", '{"dialect": "boltz", "name": "j"}', ("dialect 'boltz'",)),
]

_CHAINS = [
    BadInput("no sequence", job({"proteinChain": {"count": 1}}), (_E1, "sequence is missing")),
    BadInput("empty sequence", job(protein(sequence="")), (_E1, "sequence is empty")),
    BadInput("unknown letter", job(protein(sequence="MKTB")), (_E1, "position 4", "'B'")),
    BadInput("lower case", job(protein(sequence="MkT")), ("position 2", "upper case")),
    BadInput("white space", job(protein(sequence="MK T")), ("position 3", "white space")),
    BadInput("stop", job(protein(sequence="MKT*")), ("position 4", "'*'")),
    BadInput("unicode letter", job(protein(sequence="MKТ")), ("position 3",)),
    BadInput(
        "U in protein", job(protein(sequence="MKU")), ("position 3", "'U'", "protein sequences")
    ),
    BadInput(
        "T in RNA",
        job({"rnaSequence": {"sequence": "ACGT", "count": 1}}),
        ("entity 1 (rnaSequence)", "position 4", "'T'"),
    ),
    BadInput(
        "protein in DNA",
        job(protein(), {"dnaSequence": {"sequence": "ACGM", "count": 1}}),
        ("entity 2 (dnaSequence)", "position 4"),
    ),
    BadInput("sequence is a list", job(protein(sequence=["M"])), ("sequence is a list",)),
    BadInput("zero copies", job(protein(count=0)), (_E1, "count is 0")),
    BadInput("count is text", job(protein(count="two")), ("count is text",)),
    BadInput("count is a float", job(protein(count=1.5)), ("count is a number",)),
    BadInput("count is true", job(protein(count=True)), ("count is true/false",)),
    BadInput("huge count", job(protein(count=10**9)), ("count is 1000000000", "1 to 1000")),
    BadInput("many chains", job(protein(count=600), protein(count=600)), ("1200 chains",)),
    BadInput(
        "many residues",
        job(protein(sequence="M" * 60_000), protein(sequence="K" * 60_000)),
        ("120000 residues",),
    ),
    BadInput("ids and count differ", job(protein(id=["A", "B"])), (_E1, "2 chain ids for 1")),
    BadInput("id is text", job(protein(id="A")), ("id is text", "write a list")),
    BadInput(
        "ids repeat", job(protein(id=["A"]), protein(id=["A"])), ("entity 2", "'A' is used twice")
    ),
    BadInput("ids repeat inside", job(protein(count=2, id=["A", "A"])), ("'A' is used twice",)),
    BadInput("id with a space", job(protein(id=["A 1"])), ("'A 1' cannot name a chain",)),
    BadInput("glycans", job(protein(glycans=[{"x": 1}])), ("glycans are not supported",)),
    BadInput(
        "modification outside",
        modified(ptmType="CCD_SEP", ptmPosition=11),
        (_E1, "modifications 1", "ptmPosition is 11", "1 to 10"),
    ),
    BadInput("position zero", modified(ptmType="CCD_SEP", ptmPosition=0), ("ptmPosition is 0",)),
    BadInput("no CCD_", modified(ptmType="SEP", ptmPosition=1), ("ptmType is 'SEP'", "CCD_")),
    BadInput("no position", modified(ptmType="CCD_SEP"), ("ptmPosition is missing",)),
    BadInput(
        "modified twice",
        job(protein(modifications=[{"ptmType": "CCD_SEP", "ptmPosition": 1}] * 2)),
        ("modifications 2", "position 1 is modified twice"),
    ),
    BadInput(
        "nucleotide keys on a protein",
        modified(modificationType="CCD_SEP", basePosition=1),
        ("modifications 1", "unknown key 'modificationType'", "ptmType, ptmPosition"),
    ),
]

_LIGANDS = [
    BadInput("empty ligand", job({"ligand": {"ligand": ""}}), ("ligand is empty",)),
    BadInput("CCD without code", job({"ligand": {"ligand": "CCD_"}}), ("not a CCD code",)),
    BadInput("SMILES with spaces", job({"ligand": {"ligand": "CC O"}}), ("' '",)),
    BadInput("ion of two", job({"ion": {"ion": "CCD_MG_MG"}}), ("'MG_MG' is not a CCD code",)),
    BadInput(
        "path without FILE_",
        job({"ligand": {"ligand": "in/x.MOL2"}}),
        ("'in/x.MOL2'", "a path is written FILE_in/x.MOL2"),
    ),
    BadInput("no ligand file", job({"ligand": {"ligand": "FILE_x.sdf"}}), ("x.sdf", "no file")),
    BadInput(
        "ligand file of another kind",
        job({"ligand": {"ligand": "FILE_x.xyz"}}),
        (".xyz", ".sdf"),
        files={"x.xyz": "1\n"},
    ),
    BadInput(
        "unknown component",
        job(protein(), {"ligand": {"ligand": "CCD_ZZZZZ"}}),
        ("entity 2", "'ZZZZZ'"),
        chemistry=True,
    ),
    BadInput(
        "lower-case component",
        job({"ligand": {"ligand": "CCD_atp"}}),
        ("'atp'", "did you mean 'ATP'"),
        chemistry=True,
    ),
    BadInput(
        "unknown second component",
        job({"ligand": {"ligand": "CCD_NAG_ZZZZZ"}}),
        ("entity 1, position 2", "'ZZZZZ'"),
        chemistry=True,
    ),
    BadInput("unknown ion", job({"ion": {"ion": "QQQQ"}}), ("'QQQQ'",), chemistry=True),
    BadInput(
        "unknown modification",
        modified(ptmType="CCD_ZZZZZ", ptmPosition=2),
        ("position 2", "'ZZZZZ'"),
        chemistry=True,
    ),
    BadInput(
        "ligand as a residue",
        modified(ptmType="CCD_ATP", ptmPosition=5),
        ("entity 1, position 5", "ATP", "no residue of a protein"),
        chemistry=True,
    ),
    BadInput(
        "nucleotide in a protein",
        modified(ptmType="CCD_PSU", ptmPosition=5),
        ("position 5", "PSU", "no residue of a protein"),
        chemistry=True,
    ),
    BadInput(
        "SMILES that is none", job({"ligand": {"ligand": "C1CC"}}), ("'C1CC'",), chemistry=True
    ),
    BadInput(
        "five bonds on carbon",
        job({"ligand": {"ligand": "C(C)(C)(C)(C)C"}}),
        ("entity 1", "'C(C)(C)(C)(C)C'", "not a possible molecule", "valence"),
        chemistry=True,
    ),
]

_LINKS = [
    BadInput("bond to no entity", bond(entity2=9), ("covalent bond 1", "entity2 is 9", "1 to 2")),
    BadInput("bond to no position", bond(position1=11), ("position1 is 11",)),
    BadInput("bond to no copy", bond(copy1=2, copy2=1), ("copy1 is 2",)),
    BadInput("bond without atom", bond(atom2=None), ("atom at both ends",)),
    BadInput("bond by index in a CCD ligand", bond(atom2=3), ("atom2 is a number",)),
    BadInput("bond without entity", bond(entity1=None), ("entity1 is missing",)),
    BadInput("bond is a list", job(protein(), covalent_bonds=[[1]]), ("write an object",)),
    BadInput("bond to itself", bond(entity2=1, atom2="N"), ("to itself",)),
    BadInput(
        "bond of unequal copies",
        job(
            protein(count=2),
            NAG,
            covalent_bonds=[
                {
                    **{"entity1": 1, "position1": 1, "atom1": "N"},
                    **{"entity2": 2, "position2": 1, "atom2": "C1"},
                }
            ],
        ),
        ("2 copies", "copy1 and copy2"),
    ),
    BadInput(
        "bond to an unknown atom",
        bond(atom1="CX"),
        ("covalent bond 1", "entity 1, position 1", "MET has no atom 'CX'"),
        chemistry=True,
    ),
    BadInput(
        "bond to an unknown ligand atom",
        bond(atom2="ZN"),
        ("entity 2, position 1", "NAG has no atom 'ZN'"),
        chemistry=True,
    ),
    BadInput("contact in one chain", contact(entity2=1), ("contact 1", "same chain")),
    BadInput("contact without distance", contact(max_distance=None), ("max_distance is missing",)),
    BadInput("contact backwards", contact(min_distance=9), ("below min_distance",)),
    BadInput("contact out of range", contact(position1=99), ("position1 is 99",)),
    BadInput("negative distance", contact(max_distance=-1), ("max_distance",)),
    BadInput("distance of zero", contact(max_distance=0), ("max_distance is 0.0", "0.001 to")),
    BadInput(
        "infinite distance",
        contact(max_distance=0).replace('"max_distance": 0', '"max_distance": 1e999'),
        ("max_distance",),
    ),
    BadInput(
        "pocket in the binder",
        job(
            protein(),
            constraint={
                "pocket": {
                    "binder_chain": {"entity": 1, "copy": 1},
                    "contact_residues": [{"entity": 1, "copy": 1, "position": 1}],
                    "max_distance": 6,
                }
            },
        ),
        ("pocket", "own chain"),
    ),
    BadInput(
        "structure constraint", job(protein(), constraint={"structure": {"a": 1}}), ("structure",)
    ),
]

CASES = [*_FILES, *_JOBS, *_CHAINS, *_LIGANDS, *_LINKS, *FASTA, *DIALECTS, *FOREIGN, *TEMPLATES]
