# SPDX-License-Identifier: Apache-2.0
"""Files of other programs and damaged archives; part of the corpus of `bad_inputs`."""

from __future__ import annotations

import bz2
import gzip
import lzma

from bad_input import BadInput, openfold3

_PACKED = [
    BadInput("cut gzip", b"\x1f\x8b\x08\x00abc", ("damaged gzip stream",)),
    BadInput("cut xz", lzma.compress(b"[1]" * 99)[:-9], ("damaged xz stream",)),
    BadInput("wrong gzip sum", gzip.compress(b"[]")[:-8] + b"\0" * 8, ("damaged gzip stream",)),
    BadInput("cut bzip2", bz2.compress(b"[1]" * 99)[:-9], ("damaged bzip2 stream",)),
    BadInput("zip", b"PK\x03\x04abc", ("zip archive", "unpack")),
    BadInput("packed tar", gzip.compress(b"x".ljust(257, b"\0") + b"ustar\0"), ("tar archive",)),
    BadInput("packed picture", gzip.compress(b"\x89PNG\xff"), ("not UTF-8",)),
]

_FORMATS = [
    BadInput("mmCIF", "data_1ABC\n#\n", ("structure", "protenix-ms json FILE"), ".cif"),
    BadInput("mmCIF by another name", "data_1ABC\n#\n", ("structure (mmCIF)",), ".txt"),
    BadInput("packed mmCIF", gzip.compress(b"data_1ABC\n"), ("a structure",), ".cif.gz"),
    BadInput("PDB", "HEADER    X\n", ("a structure", "protenix-ms json"), ".pdb"),
    BadInput("PDB by another name", "ATOM      1  N\n", ("structure (PDB)",), ".txt"),
    BadInput("binary CIF", b"\x83\xa7enc", ("a structure",), ".bcif"),
    BadInput("a3m as input", ">q\nMKT\n>r\nMKTaa\n", ("an alignment", "--msa"), ".a3m"),
    BadInput("complex as input", "#3,4\t1,1\n>a\tb\nMKTMKTA\n", ("of ColabFold",), ".txt"),
    BadInput("Stockholm", "# STOCKHOLM 1.0\n", ("Stockholm", "a3m"), ".sto"),
    BadInput("SDF as input", "x\n y\n\n  0  0\nM  END\n$$$$\n", ("SDF", "FILE_"), ".sdf"),
    BadInput(
        "Boltz YAML",
        "# mine\nversion: 1\nsequences:\n- protein:\n    id: A\n",
        ("Boltz YAML", ">A|protein"),
        ".yaml",
    ),
    BadInput("other YAML", "version: 1\n", ("YAML",), ".yml"),
    BadInput("README", "# Title\ntext\n", ("Markdown",), ".md"),
    BadInput("table", "name,length\nx,3\n", ("a table", "id and sequence"), ".csv"),
    BadInput("table without jobs", "id,sequence\n", ("no jobs",), ".csv"),
    BadInput("table of no proteins", "id,sequence\na,dna|ACG\n", ("line 2", ">A|dna"), ".csv"),
    BadInput("table with a foreign column", "id,sequence,x\na,MKT,1\n", ("line 2", "'x'"), ".csv"),
    BadInput("table with a bad letter", "id\tsequence\na\tMKT:MB\n", ("line 2", "'B'"), ".tsv"),
    BadInput("table with more cells", "id,sequence\na,MKT,1\n", ("3 cells", "2 col"), ".csv"),
    BadInput(
        "folder without jobs",
        None,
        ("holds no job files", "1 file of the folder is no job", "x.yml (looks like YAML)"),
        "",
        {"input/x.yml": "a: 1\n"},
    ),
]

_OPENFOLD3 = [
    BadInput("no queries", '{"queries": {}}', ("queries is empty",)),
    BadInput("query is a list", '{"queries": {"a": []}}', ("query 'a'", "write an object")),
    BadInput("OpenFold3 other field", openfold3(ccd_file_path="x"), ("'ccd_file_path'",)),
    BadInput("OpenFold3 bonds", openfold3({"covalent_bonds": [1]}), ("'a'", "'covalent_bonds'")),
    BadInput(
        "OpenFold3 two alignments",
        openfold3(chain={"main_msa_file_paths": ["a.a3m", "b.a3m"]}),
        ("chain 1", "2 files"),
    ),
    BadInput("OpenFold3 kind", openfold3(chain={"molecule_type": "lipid"}), ("'lipid'", "rna")),
    BadInput(
        "OpenFold3 position",
        openfold3(chain={"non_canonical_residues": {"11": "SEP"}}),
        ("query 'a', chain 1", "the position is 11", "1 to 10"),
    ),
]

FOREIGN = [*_PACKED, *_FORMATS, *_OPENFOLD3]
