# SPDX-License-Identifier: Apache-2.0
"""FASTA files and alignments that must be refused; part of the corpus of `bad_inputs`."""

from __future__ import annotations

from bad_input import QUERY, SEQUENCE, BadInput, job, protein

_E1 = "entity 1 (proteinChain)"

_ALIGNMENTS = [
    BadInput(
        "no alignment file", job(protein(unpairedMsaPath="x.a3m")), ("x.a3m", "unpairedMsaPath")
    ),
    BadInput("no alignment folder", job(protein(msa={"precomputed_msa_dir": "m"})), ("no folder",)),
    BadInput(
        "alignment folder without alignments",
        job(protein(msa={"precomputed_msa_dir": "m"})),
        ("pairing.a3m",),
        files={"m/x.txt": ""},
    ),
    BadInput(
        "empty alignment",
        job(protein(unpairedMsaPath="x.a3m")),
        ("x.a3m", "no rows"),
        files={"x.a3m": "# nothing\n"},
    ),
    BadInput(
        "another query",
        job(protein(unpairedMsaPath="x.a3m")),
        (_E1, "x.a3m", "position 2", "'R'", "'K'"),
        files={"x.a3m": QUERY.replace("MK", "MR")},
    ),
    BadInput(
        "query of another length",
        job(protein(pairedMsa=f">q\n{SEQUENCE}A\n")),
        ("inline pairedMsa", "11 columns", "10 residues"),
    ),
    BadInput(
        "ragged alignment",
        job(protein(unpairedMsa=QUERY + ">short\nMKT\n")),
        ("row 2 ('short')", "3 columns"),
    ),
    BadInput(
        "foreign letter in a row",
        job(protein(unpairedMsa=QUERY + ">r\nMKTAYIAKQ?\n")),
        ("row 2 ('r')", "'?'", "character 10"),
    ),
    BadInput(
        "a3m that is not text",
        job(protein(unpairedMsaPath="x.a3m")),
        ("x.a3m", "not UTF-8"),
        files={"x.a3m": b"\x89PNG\xff"},
    ),
    BadInput(
        "blocks of other chains",
        job(protein(unpairedMsa=">a\nMKT\n\0>b\nMKV\n\0")),
        ("inline unpairedMsa", "none of its 2 blocks", "10 residues"),
    ),
    BadInput(
        "alignment of several chains",
        job(protein(unpairedMsaPath="x.a3m")),
        ("x.a3m", "ColabFold", "2 chains (10, 3 columns)", "--msa"),
        files={"x.a3m": f"#10,3\t1,1\n>101\t102\n{SEQUENCE}MKT\n"},
    ),
    BadInput(
        "form feed in a row",
        job(protein(unpairedMsa=QUERY + ">r\nMKTAY\x0cIAKQR\n")),
        ("row 2 ('r')", "'\\x0c'", "character 6"),
    ),
    BadInput(
        "alignment of DNA",
        job({"dnaSequence": {"sequence": "ACGT", "count": 1, "unpairedMsa": ">q\nACGT\n"}}),
        ("entity 1 (dnaSequence)", "cannot have an alignment"),
    ),
    BadInput(
        "templates of another kind",
        job(protein(templatesPath="t.txt")),
        (".txt",),
        files={"t.txt": ""},
    ),
    BadInput(
        "--msa that fits nothing",
        f">a\n{SEQUENCE}\n",
        ("x.a3m", "no chain of any job"),
        ".fasta",
        {"x.a3m": ">q\nWWWWW\n"},
        "x.a3m",
    ),
    BadInput("--msa that is absent", f">a\n{SEQUENCE}\n", ("x.a3m",), ".fasta", {}, "x.a3m"),
    BadInput(
        "--msa folder without a3m", f">a\n{SEQUENCE}\n", ("no *.a3m",), ".fasta", {"m/x": ""}, "m"
    ),
    BadInput(
        "--msa folder that fits nothing",
        f">a\n{SEQUENCE}\n",
        ("m:", "no chain of any job"),
        ".fasta",
        {"m/x.a3m": ">q\nWWWWW\n", "m/y.a3m": "#5,3\t1,1\n>1\t2\nWWWWWMKT\n"},
        "m",
    ),
    BadInput(
        "--msa of several chains with a short row",
        f">a\n{SEQUENCE}\n",
        ("x.a3m, row 2", "12 columns", "13"),
        ".fasta",
        {"x.a3m": f"#10,3\t1,1\n>1\t2\n{SEQUENCE}MKT\n>r\n{SEQUENCE}M-\n"},
        "x.a3m",
    ),
    BadInput(
        "--msa of two complexes",
        f">a\n{SEQUENCE}\n>b\nMKTW\n",
        ("m/x.a3m", "m/y.a3m", "fit this job"),
        ".fasta",
        {f"m/{n}.a3m": f"#10,4\t1,1\n>1\t2\n{SEQUENCE}MKTW\n" for n in "xy"},
        "m",
    ),
    BadInput(
        "--msa twice for a chain",
        f">a\n{SEQUENCE}\n",
        ("same first sequence",),
        ".fasta",
        {"m/x.a3m": QUERY, "m/y.a3m": QUERY},
        "m",
    ),
]

_RECORDS = [
    BadInput("empty FASTA", "", ("no sequence",), ".fasta"),
    BadInput("text before a header", "MKT\n>a\nMKT\n", ("line 1", "before the first"), ".fasta"),
    BadInput(
        "header without sequence", ">a\n>b\nMKT\n", ("line 1", "no sequence follows"), ".fasta"
    ),
    BadInput("FASTA letter", ">a\nMKTZ\n", ("line 1, record 1", "position 4", "'Z'"), ".fasta"),
    BadInput("FASTA unknown type", ">A|peptide\nMKT\n", ("'peptide'", "protein"), ".fasta"),
    BadInput("Chai unknown type", ">sugar|name=x\nNAG\n", ("'sugar'", "glycan"), ".fasta"),
    BadInput("glycan without linkage", ">glycan|x\nNAG(FUC)\n", ("names no linkage",), ".fasta"),
    BadInput(
        "glycan cut short", ">glycan|x\nNAG(4-1 NAG\n", ("character 12", "the end"), ".fasta"
    ),
    BadInput("glycan of two", ">glycan|x\nNAG NAG\n", ("character 5", "'N'"), ".fasta"),
    BadInput("glycan closed twice", ">glycan|x\nNAG(4-1 NAG))\n", ("character 13",), ".fasta"),
    BadInput("endless glycan", ">glycan|x\n" + "NAG(4-1 " * 300 + "\n", ("200 sugars",), ".fasta"),
    BadInput(
        "glycan bond to an absent atom",
        ">glycan|x\nNAG(2-1 NAG)\n",
        ("covalent bond 1", "NAG has no atom 'O2'"),
        ".fasta",
        chemistry=True,
    ),
    BadInput("open parenthesis", ">protein|x\nMK(SEPT\n", ("parenthesis", "(MSE)"), ".fasta"),
    BadInput("empty parenthesis", ">protein|x\nMK()T\n", ("not a CCD code",), ".fasta"),
    BadInput(
        "unknown modified residue", ">a\nMK(ZZZZZ)T\n", ("position 3", "'ZZZZZ'"), ".fasta",
        chemistry=True,
    ),
    BadInput("four fields", ">A|ligand|x|y\nCSC\n", ("4 fields", "a3m"), ".fasta"),
    BadInput("alignment of FASTA DNA", ">A|dna|x.a3m\nACG\n", ("type dna", "third"), ".fasta"),
    BadInput("undecided FASTA", ">a\nGATTACA\n", ("protein, DNA or RNA",), ".fasta"),
    BadInput(
        "FASTA ids repeat", ">A|protein\nMKT\n>A|rna\nACG\n", ("'A' is used twice",), ".fasta"
    ),
    BadInput(
        "several chains under one name", ">A|protein\nMKT:MKL\n", ("several chains",), ".fasta"
    ),
    BadInput("a database", ">a\nMKT\n" * 2000, ("line 2001", "more than 1000 records"), ".fasta"),
    BadInput("empty chain", ">a\nMKT::MKL\n", ("sequence is empty",), ".fasta"),
    BadInput("a3m as FASTA", ">a\nMK-T\n", ("position 3", "'-'"), ".fasta"),
    BadInput("FASTA not UTF-8", b">a\nMK\xe9\n", ("not UTF-8",), ".fasta"),
    BadInput("FASTA msa missing", ">A|protein|x.a3m\nMKTAY\n", ("x.a3m",), ".fasta"),
    BadInput("FASTA unknown component", ">A|ccd\nZZZZZ\n", ("'ZZZZZ'",), ".fasta", chemistry=True),
]

FASTA = [*_ALIGNMENTS, *_RECORDS]
