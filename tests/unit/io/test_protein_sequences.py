# SPDX-License-Identifier: Apache-2.0
"""Sequences for the encoder, from FASTA files and jobs."""

import json

import pytest

from protenix_ms.errors import InputError
from protenix_ms.io.protein_sequences import ProteinSequence, read_proteins


def written(path, text):
    path.write_text(text)
    return path


def test_records_of_any_number(tmp_path):
    text = ">a first one\nMK T\nayi*\n>b\nACGT\n>c\nA<mask>JX".replace("J", "U")
    assert read_proteins(written(tmp_path / "x.fasta", text)) == [
        ProteinSequence("a", "MKTAYI"), ProteinSequence("b", "ACGT"),
        ProteinSequence("c", "A<mask>UX")]


def test_folder_of_files_and_jobs(tmp_path):
    written(tmp_path / "x.fasta", ">a\nMKT\n>a\nMKT\n")
    chains = [{"proteinChain": {"sequence": "GAV", "count": 2}},
              {"dnaSequence": {"sequence": "ACGT", "count": 1}},
              {"proteinChain": {"sequence": "LLL", "count": 1}}]
    written(tmp_path / "y.json", json.dumps([{"name": "job", "sequences": chains}]))
    assert read_proteins(tmp_path) == [
        ProteinSequence("a", "MKT"), ProteinSequence("job_1", "GAV"),
        ProteinSequence("job_3", "LLL")]


@pytest.mark.parametrize("text, says", [
    (">a\nMKTJ\n", "x.fasta, a, position 4: 'J' is not a residue that ESM-2 knows; write X for J"),
    (">a\nMK1\n", "position 3: '1'"), (">a\n>b\nMKT\n", "a: the sequence is empty"),
    (">a\nMK\n>a\nMM\n", "two sequences have this name"), ("MKT\n", "not FASTA"),
    (">a\nMK*T\n", r"position 3: '\*'"), ("", "not FASTA|empty"),
])
def test_bad_files(tmp_path, text, says):
    with pytest.raises(InputError, match=says):
        read_proteins(written(tmp_path / "x.fasta", text))


def test_no_protein(tmp_path):
    chains = [{"dnaSequence": {"sequence": "ACGT", "count": 1}}]
    path = written(tmp_path / "y.json", json.dumps([{"name": "job", "sequences": chains}]))
    with pytest.raises(InputError, match="no protein sequence"):
        read_proteins(path)
