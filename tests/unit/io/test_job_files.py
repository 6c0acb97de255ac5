# SPDX-License-Identifier: Apache-2.0
"""Jobs of other programs: ColabFold's tables, OpenFold3's queries, compressed files, folders."""

import gzip
import json

import pytest

from protenix_ms.errors import InputError
from protenix_ms.io import read_jobs, say_skipped, scan_jobs
from protenix_ms.io.a3m import parse_a3m
from protenix_ms.job import Ligand, Modification, Polymer

FIRST, SECOND = "MKTAYIAKQR", "GSHMEVKLV"


def test_a_table_of_colabfold_is_read(tmp_path):
    (tmp_path / "b.a3m").write_text(f"#10,9\t1,1\n>1\t2\n{FIRST}{SECOND}\n>r\tr\n{FIRST}{SECOND}\n")
    path = tmp_path / "jobs.csv"
    path.write_text(f'id,sequence,a3mpath\r\nhomo,{FIRST}:{FIRST.lower()},\r\n\r\n'
                    f'"hetero, two","{FIRST}:{SECOND}",b.a3m\r\nbad,MB,\r\n')
    first, second, bad = scan_jobs(path)
    assert first.name == "homo" and first.entities == (Polymer("protein", FIRST, count=2),)
    assert second.name == "hetero, two" and second.entities[1].sequence == SECOND
    assert len(parse_a3m(second.entities[0].paired_msa.text).rows) == 2
    assert isinstance(bad, InputError) and "line 5" in str(bad)
    path.write_text(f"sequence\tid\n{SECOND}\tx\n")
    assert read_jobs(tmp_path)[0].entities[0].sequence == SECOND


def test_openfold3_queries_are_read(tmp_path):
    (tmp_path / "m.a3m").write_text(f">q\n{FIRST}\n")
    chains = [
        {"molecule_type": "protein", "chain_ids": ["A", "B"], "sequence": FIRST,
         "non_canonical_residues": {"2": "MLY"}, "main_msa_file_paths": ["m.a3m"],
         "paired_msa_file_paths": "m.a3m", "use_paired_msas": False},
        {"molecule_type": "rna", "chain_ids": "R", "sequence": "GGC",
         "non_canonical_residues": {"3": "5MC"}},
        {"molecule_type": "ligand", "chain_ids": "L", "ccd_codes": ["NAG", "FUC"]},
        {"molecule_type": "ligand", "chain_ids": ["S"], "smiles": "CCO"},
    ]
    document = {"seeds": [3, 4], "queries": {
        "one": {"chains": chains}, "bad": {"chains": [{}]},
        "two": {"chains": chains[:1], "use_msas": False}}}
    (tmp_path / "q.json").write_text(json.dumps(document))
    one, bad, two = scan_jobs(tmp_path / "q.json")
    assert "molecule_type is missing" in str(bad) and "query 'bad'" in str(bad)
    protein, rna, sugar, smiles = one.entities
    assert (one.name, one.seeds, protein.ids) == ("one", (3, 4), ("A", "B"))
    assert protein.modifications == (Modification("MLY", 2),)
    assert protein.unpaired_msa and protein.paired_msa is None
    assert rna.modifications == (Modification("5MC", 3),)
    assert sugar == Ligand(codes=("NAG", "FUC"), ids=("L",)) and smiles.smiles == "CCO"
    assert two.entities[0].unpaired_msa is None


@pytest.mark.parametrize("name", ["x.fasta.gz", "x.gz", "x.json.gz"])
def test_compressed_jobs_are_read(name, tmp_path):
    job = {"name": "x", "sequences": [{"proteinChain": {"sequence": FIRST}}]}
    text = json.dumps([job]) if "json" in name else f">a\n{FIRST}\n"
    (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    (job,) = read_jobs(tmp_path / name)
    assert job.name == "x" and job.entities[0].sequence == FIRST
    assert name == "x.gz" or len(read_jobs(tmp_path)) == 1


def test_what_a_folder_holds_beside_jobs_is_named(tmp_path):
    files = {"a.fasta": f">a\n{FIRST}\n", "b.yaml": "version: 1\nsequences:\n", "README": "hello",
             "c.cif": "data_x", "t.csv": "a,b\n1,2\n", "m.a3m": ">q\nMKT\n", ".hidden": ""}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert len(read_jobs(tmp_path)) == 1
    assert say_skipped(tmp_path) == (
        "4 files of the folder are no job and skipped: README, b.yaml (looks like a Boltz YAML), "
        "c.cif (looks like a structure), t.csv (looks like a table);")
    assert say_skipped(tmp_path / "a.fasta") == ""
