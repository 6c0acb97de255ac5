# SPDX-License-Identifier: Apache-2.0
"""Alignments as programs write them: blocks, several chains in one file, compressed, odd lines."""

import bz2
import gzip
import json
import lzma

import pytest

from protenix_ms.errors import InputError
from protenix_ms.io import read_jobs, text_file
from protenix_ms.io.a3m import parse_a3m
from protenix_ms.io.text_file import read_text, split_lines

FIRST, SECOND = "MKTAYIAKQR", "GSHMEVKLV"
QUERY = f">q\n{FIRST}\n>r\nMKTAYI-KQR\n"


def rows(alignment):
    return [row.decode() for row in parse_a3m(alignment.text).rows]


def job_of(tmp_path, **fields):
    chain = {"proteinChain": {"sequence": FIRST, "count": 1, **fields}}
    path = tmp_path / "j.json"
    path.write_text(json.dumps([{"name": "j", "sequences": [chain]}]))
    return read_jobs(path)[0].entities[0]


@pytest.fixture
def fasta(tmp_path):
    def write(*sequences):
        path = tmp_path / "complex.fasta"
        path.write_text("".join(f">c{i}\n{s}\n" for i, s in enumerate(sequences)))
        return path

    return write


@pytest.mark.parametrize("text", [QUERY + "\0", f">o\n{SECOND}\n\0{QUERY}\0", QUERY + "\0\n\0"])
def test_a_zero_byte_ends_a_block(text, tmp_path):
    (tmp_path / "m.a3m").write_text(text)
    for chain in (job_of(tmp_path, unpairedMsa=text), job_of(tmp_path, pairedMsaPath="m.a3m",
                                                             unpairedMsaPath="m.a3m")):
        assert rows(chain.unpaired_msa) == [FIRST, "MKTAYI-KQR"]
    assert rows(chain.paired_msa) == [FIRST, "MKTAYI-KQR"]


def test_blocks_of_one_sequence_are_joined(tmp_path):
    other = f">q\n{FIRST}\n>s\nMKTAYIAK-R\n"
    chain = job_of(tmp_path, unpairedMsa=f"{QUERY}\0>o\n{SECOND}\n\0{other}\0")
    assert rows(chain.unpaired_msa) == [FIRST, "MKTAYI-KQR", FIRST, "MKTAYIAK-R"]


def test_msa_option_gives_every_chain_its_block(fasta, tmp_path):
    path = tmp_path / "pair.a3m"
    path.write_text(f"{QUERY}\0>o\n{SECOND}\n>p\nGSHMEV--V\n\0")
    first, second = read_jobs(fasta(FIRST, SECOND), path)[0].entities
    assert rows(first.paired_msa) == [FIRST, "MKTAYI-KQR"] and first.unpaired_msa is None
    assert rows(second.paired_msa) == [SECOND, "GSHMEV--V"]


def test_an_rna_alignment_in_thymine_is_matched(tmp_path):
    fasta, msa = tmp_path / "x.fasta", tmp_path / "r.a3m"
    fasta.write_text(">R|rna\nGGCUAU\n>A|protein\nGGCTAT\n")
    msa.write_text(">q\nGGCTAT\n>r\nGGCTtA-\n")
    rna, protein = read_jobs(fasta, msa)[0].entities
    assert rna.unpaired_msa and protein.unpaired_msa
    msa.write_text(">q\nGGCTAG\n>r\nGGCTtA-\n")
    with pytest.raises(InputError, match="no chain of any job"):
        read_jobs(fasta, msa)


COMPLEX = (
    f"#10,9\t1,2\n>101\t102\n{FIRST}{SECOND}\n>UniRef100_A_9606\tUniRef100_B_9607\n"
    "MKTAYIAKQKabGSHMEVKL-\n>DUMMY\tx\nMKTAYIAK--GSHMEVKLL\n"
    f">101\n{FIRST}---------\n>UniRef100_C\t99\t0.9\nMKTaaAYI-KQR---------\n"
    f">102\n----------{SECOND}\n>UniRef100_D\t1\n----------GSHME-KLVcc\n"
)


@pytest.mark.parametrize("text", [COMPLEX, COMPLEX + "\0", COMPLEX.replace("\n", "\r\n")])
@pytest.mark.parametrize("folder", [False, True])
def test_an_alignment_of_several_chains_is_split(text, folder, fasta, tmp_path):
    path = tmp_path / "msa" / "x.a3m"
    path.parent.mkdir()
    path.write_bytes(text.encode())
    (job,) = read_jobs(fasta(FIRST, SECOND, SECOND), path.parent if folder else path)
    first, second = job.entities
    assert rows(first.paired_msa) == [FIRST, "MKTAYIAKQK", "MKTAYIAK--"]
    assert rows(second.paired_msa) == [SECOND, "abGSHMEVKL-", "GSHMEVKLL"]
    assert parse_a3m(second.paired_msa.text).names[1] == "row_1 UniRef100_B_9607"
    assert rows(first.unpaired_msa) == [FIRST, "MKTaaAYI-KQR"]
    assert rows(second.unpaired_msa) == [SECOND, "GSHME-KLVcc"]
    assert second.count == 2 and job.notes == ()


def test_unpaired_blocks_alone_and_chains_of_no_job(fasta, tmp_path):
    path = tmp_path / "x.a3m"
    path.write_text(COMPLEX[: COMPLEX.index(">101\t")] + COMPLEX[COMPLEX.index(">101\n") :])
    (job,) = read_jobs(fasta(SECOND), path)
    assert job.entities[0].paired_msa is None
    assert rows(job.entities[0].unpaired_msa) == [SECOND, "GSHME-KLVcc"]
    assert job.notes == ("chain 1 of x.a3m (10 residues) is no chain of this job; its rows are not "
                         "used",)


def test_equal_chains_of_a_complex_share_the_rows_of_both(fasta, tmp_path):
    (tmp_path / "msa").mkdir()
    (tmp_path / "msa" / "x.a3m").write_text(
        f"#10,10\t1,1\n>101\t102\n{FIRST}{FIRST}\n>a\tb\nMKTAYIAKQAMKTAYIAKQC\n"
        f">101\n{FIRST}----------\n>c\nMKTAYIAKQD----------\n"
        f">102\n----------{FIRST}\n>d\n----------MKTAYIAKQE\n")
    chain = read_jobs(fasta(FIRST, FIRST), tmp_path / "msa")[0].entities[0]
    assert rows(chain.paired_msa) == [FIRST, "MKTAYIAKQA"]
    last = {row[-1] for row in rows(chain.unpaired_msa)}
    assert rows(chain.unpaired_msa)[0] == FIRST and last == set("RCDE")


def test_the_query_heads_unpaired_rows_that_lack_it(fasta, tmp_path):
    (tmp_path / "x.a3m").write_text(
        f"#10,9\t1,1\n>101\t102\n{FIRST}{SECOND}\n>b\n----------GSHMEPLLA\n"
        ">c\td\nMKTAYIAKQAGSHMEPLLC\n")
    _, chain = read_jobs(fasta(FIRST, SECOND), tmp_path / "x.a3m")[0].entities
    assert rows(chain.unpaired_msa) == [SECOND, "GSHMEPLLA"]


def test_every_job_takes_the_alignment_of_its_own_chains(fasta, tmp_path):
    third = "WYWYWYWYW"
    (tmp_path / "msa").mkdir()
    for name, other in (("ab", SECOND), ("ac", third)):
        text = f"#10,9\t1,1\n>101\t102\n{FIRST}{other}\n>{name}\n{FIRST}---------\n"
        (tmp_path / "msa" / f"{name}.a3m").write_text(text)
    for other, name in ((SECOND, "ab"), (third, "ac")):
        first, _ = read_jobs(fasta(FIRST, other), tmp_path / "msa")[0].entities
        assert parse_a3m(first.unpaired_msa.text).names == [name]


def test_one_chain_of_colabfold_is_plain(fasta, tmp_path):
    path = tmp_path / "x.a3m"
    path.write_text(f"#10\t2\n>101\n{FIRST}\n>r\nMKTAYI-KQR\n")
    (chain,) = read_jobs(fasta(FIRST, FIRST), path)[0].entities
    assert rows(chain.unpaired_msa) == [FIRST, "MKTAYI-KQR"] and chain.paired_msa is None


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
@pytest.mark.parametrize("name", ["x.a3m", "x.a3m.gz"])
def test_compressed_alignments_are_told_by_their_bytes(pack, name, fasta, tmp_path):
    folder = tmp_path / "msa"
    folder.mkdir()
    (folder / name).write_bytes(pack(QUERY.encode()))
    chain = job_of(tmp_path, unpairedMsaPath=f"msa/{name}")
    (boltz := tmp_path / "b.fasta").write_text(f">A|protein|msa/{name}\n{FIRST}\n")
    for msa in (folder, folder / name):
        assert rows(read_jobs(fasta(FIRST), msa)[0].entities[0].unpaired_msa) == [
            FIRST, "MKTAYI-KQR"]
    assert rows(chain.unpaired_msa) == rows(read_jobs(boltz)[0].entities[0].unpaired_msa)
    assert rows(chain.unpaired_msa) == [FIRST, "MKTAYI-KQR"]


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"A" * 40_000_000))
    monkeypatch.setattr(text_file, "MAX_UNPACKED", 8 << 20)
    with pytest.raises(InputError, match="unpacks to more than 8 MiB"):
        read_text(path)


def test_zstd_is_read_by_the_module_that_is_there_or_refused_by_name(tmp_path, monkeypatch):
    path = tmp_path / "x.a3m.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfdabc")
    with pytest.raises(InputError, match="zstd"):
        read_text(path)
    (tmp_path / "pyzstd.py").write_text(
        "import io\nclass ZstdError(Exception): pass\n"
        f"def open(path, mode): return io.BytesIO({QUERY.encode()!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert read_text(path) == QUERY


ODD = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


def test_only_line_feeds_and_carriage_returns_end_a_line():
    assert split_lines(f"a\r\nb\rc\n{ODD}\n") == ["a", "b", "c", ODD, ""]


@pytest.mark.parametrize("character", ODD)
def test_odd_characters_do_not_end_a_header(character, fasta, tmp_path):
    path = tmp_path / "x.fasta"
    path.write_bytes(f">A desc{character}KGGGG\r\n{FIRST}\r".encode())
    assert read_jobs(path)[0].entities[0].sequence == FIRST
    text = f">q a{character}MKV\n{FIRST}\n>r{character}aaaaa\rMKTAYI-KQR\r"
    assert rows(job_of(tmp_path, unpairedMsa=text).unpaired_msa) == [FIRST, "MKTAYI-KQR"]
