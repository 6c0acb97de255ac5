# SPDX-License-Identifier: Apache-2.0
"""Searches in local databases: HMMER's programs, pyhmmer, MMseqs2, and the runner around them."""

import subprocess
import threading
import time
from pathlib import Path

import pytest
from own_relatives import PROTEINS, RNA, write_databases

from protenix_ms.errors import ResourceError
from protenix_ms.io.a3m import parse_a3m
from protenix_ms.search import LocalSearch, name_database
from protenix_ms.search.cache import Cache
from protenix_ms.search.hmmer import Hmmer
from protenix_ms.search.hmmer_library import HmmerLibrary
from protenix_ms.search.local import Query
from protenix_ms.search.mmseqs import Mmseqs
from protenix_ms.search.programs import Programs, StoppedError
from protenix_ms.search.stockholm import a3m_text

RELATIVES = ("UniRef90_A0A3P8ZCD7", "UniRef90_A0A651EH65", "UniRef90_UPI00210E2C07")
FILES = {"uniref90": "uniref90__subsampled_1000.fasta",
         "rnacentral": "rnacentral_active_seq_id_90_cov_80_linclust__subsampled_1000.fasta"}


@pytest.fixture(params=["programs", "library"])
def hmmer(request):
    if request.param == "library":
        pytest.importorskip("pyhmmer", reason="this machine has no pyhmmer")
        return HmmerLibrary()
    if not Programs.has("jackhmmer", "nhmmer", "hmmalign", "hmmbuild", "hmmsearch"):
        pytest.skip("this machine has no HMMER (apt-get install hmmer)")
    return Hmmer(Programs())


@pytest.fixture
def own(tmp_path) -> Path:
    return write_databases(tmp_path / "own")


def read_query(data_search: Path, name: str) -> str:
    return parse_a3m((data_search / f"queries/{name}.fa").read_text()).rows[0].decode()


def columns(rows) -> set[int]:
    return {sum(not chr(c).islower() for c in row) for row in rows.rows}


def test_made_up_relatives_are_found(hmmer, own):
    proteins = hmmer.search_proteins(PROTEINS[0], own / "uniref90.fasta", 1)
    assert [name.split("/")[0] for name in sorted(proteins.names[1:])] == [
        f"UniRef90_R0X{k}" for k in range(4)]
    assert proteins.rows[0].decode() == PROTEINS[0] and columns(proteins) == {len(PROTEINS[0])}
    rna = hmmer.search_rna(RNA, own / "rfam.fasta", 1, 3)
    assert len(rna.rows) == 4 and columns(rna) == {len(RNA)}
    hits = hmmer.search_templates(proteins, own / "pdb_seqres.fasta", 1)
    assert sorted(name[:6] for name in hits.names[:4]) == [f"{k}abc_A" for k in range(1, 5)]
    assert "mol:protein length:" in hits.names[0] and columns(hits) == {len(PROTEINS[0])}


def test_nothing_found_is_the_query_alone(hmmer, own):
    stranger = "WWWWHHHHCCCCPPPPNNNNYYYY"
    assert [r.decode() for r in hmmer.search_proteins(
        stranger, own / "uniref90.fasta", 1).rows] == [stranger]
    assert hmmer.search_rna("GGGGGGGGGGGGGGGGGGGG", own / "rfam.fasta", 1, 9).rows == [b"G" * 20]


@pytest.mark.parametrize("name", ["monellin", "trastuzumab_vl"])
def test_template_hits_are_the_recorded_ones(hmmer, name, data_search, golden, tmp_path):
    folder = golden / "features" / "template_hmmsearch"
    if not folder.is_dir():
        pytest.skip("the recording template_hmmsearch is not here: set PROTENIX_MS_GOLDEN")
    database = tmp_path / "pdb_seqres.fasta"
    database.write_text("".join((data_search / f"pdb_seqres_{part}.fasta").read_text() for part in (
        "16_examples", "2022_09_28__subsampled_1000")))
    alignment = parse_a3m((folder / f"{name}_msa.a3m").read_text())
    hits = hmmer.search_templates(alignment, database, 2)
    assert a3m_text(hits, 60) == (folder / f"{name}_hmmsearch.a3m").read_text()


@pytest.mark.parametrize("name", RELATIVES)
def test_real_relatives(hmmer, name, data_search):
    counts = {}
    for file in sorted(data_search.glob("*.fa*")):
        if file.name.startswith(("uniref90", "uniprot", "mgy", "bfd")):
            query = read_query(data_search, name)
            rows = hmmer.search_proteins(query, file, 1)
            assert columns(rows) == {len(query)}  # whatever is inserted
            counts[file.name] = len(rows.rows) - 1
    assert sum(counts.values()) in {RELATIVES[0]: (14,), RELATIVES[1]: range(14, 34),
                                    RELATIVES[2]: range(14, 60)}[name]


def test_library_and_programs_agree(data_search):
    if not Programs.has("jackhmmer", "nhmmer", "hmmalign"):
        pytest.skip("this machine has no HMMER (apt-get install hmmer)")
    pytest.importorskip("pyhmmer", reason="this machine has no pyhmmer")
    first, second = Hmmer(Programs()), HmmerLibrary()
    for name in RELATIVES:
        asked = read_query(data_search, name), data_search / FILES["uniref90"], 1
        assert first.search_proteins(*asked) == second.search_proteins(*asked)
    trna = "GGCUCGUAGCUCAGGUGGUUAGAGCGCACGCCUGAUAAGCGUGA"
    asked = trna, data_search / FILES["rnacentral"], 1, 9999
    assert len(first.search_rna(*asked).rows) == 2
    assert first.search_rna(*asked) == second.search_rna(*asked)


@pytest.mark.slow
@pytest.mark.parametrize("clustered", [False, True])
def test_mmseqs(clustered, own, tmp_path):
    if not Programs.has("mmseqs"):
        pytest.skip("this machine has no mmseqs (apt-get install mmseqs2)")
    database = own / "uniref90.fasta"
    if clustered:  # as ColabFold sets its databases up: representatives, members, alignments
        stem = str(tmp_path / "uniref30_db")
        for step in (["createdb", database, f"{stem}_seq"],
                     ["cluster", f"{stem}_seq", tmp_path / "clu", tmp_path / "tmp"],
                     ["align", f"{stem}_seq", f"{stem}_seq", tmp_path / "clu", f"{stem}_aln",
                      "-a", "-e", "inf"],
                     ["createsubdb", tmp_path / "clu", f"{stem}_seq", stem]):
            subprocess.run(["mmseqs", *map(str, step), "-v", "1"], check=True)
        database = Path(stem)
    rows = Mmseqs(Programs()).search_proteins(PROTEINS[1], database, 2)
    assert sorted(name.split("\t")[0] for name in rows.names[1:]) == [
        f"UniRef90_R1X{k}" for k in range(4)]
    assert columns(rows) == {len(PROTEINS[1])}


def test_old_mmseqs_is_refused(tmp_path, monkeypatch):
    program = tmp_path / "mmseqs"
    program.write_text("#!/bin/sh\necho 12-113e3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ResourceError, match="mmseqs 12-113e3 is too old; install release 13"):
        Mmseqs(Programs()).require_version(tmp_path)


def fake_program(folder: Path, name: str, text: str, monkeypatch) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


# writes the query alone as result; the arguments are -o /dev/null -A FILE ... QUERY DATABASE
ALONE = r"""printf '# STOCKHOLM 1.0\nquery %s\n//\n' $(sed -n 2p query.fa) > $4"""


def test_a_program_that_writes_nothing_is_not_believed(own, monkeypatch, tmp_path):
    for name in ("jackhmmer", "hmmsearch", "hmmbuild", "nhmmer"):
        fake_program(tmp_path, name, "exit 0", monkeypatch)
    tool = Hmmer(Programs())
    with pytest.raises(ResourceError, match="wrote no result"):
        tool.search_proteins(PROTEINS[0], own / "uniref90.fasta", 1)
    with pytest.raises(ResourceError, match="wrote no result"):
        tool.search_rna(RNA, own / "rfam.fasta", 1, 9)
    fake_program(tmp_path, "jackhmmer", "touch $4", monkeypatch)
    with pytest.raises(ResourceError, match="its result does not begin with the query"):
        tool.search_proteins(PROTEINS[0], own / "uniref90.fasta", 1)


def test_a_missing_program_names_its_package(own, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("protenix_ms.search.local.has_pyhmmer", lambda: False)
    local = LocalSearch(Cache(tmp_path / "cache"))
    for kind, words in (("uniref90", "jackhmmer is not on PATH.*apt-get install hmmer, or pip"),
                        ("rfam", "nhmmer is not on PATH"), ("pdb_seqres", "hmmbuild is not")):
        with pytest.raises(ResourceError, match=words):
            local.tool_for(name_database(f"{kind}={own / kind}.fasta"))


def test_a_failing_program_is_named_with_its_reason(own, monkeypatch, tmp_path):
    query = Query(PROTEINS[0], name_database(f"uniref90={own / 'uniref90.fasta'}"))
    fake_program(tmp_path, "jackhmmer", "echo 'Error: bad thing' >&2; exit 3", monkeypatch)
    local = LocalSearch(Cache(tmp_path / "cache"))
    with pytest.raises(ResourceError, match=r"jackhmmer failed \(Error: bad thing\)"):
        local.run([query])
    fake_program(tmp_path, "jackhmmer", "echo 'No space left on device'; exit 1", monkeypatch)
    with pytest.raises(ResourceError, match="jackhmmer ran out of disk space"):
        local.run([query])
    assert not list((tmp_path / "cache").rglob("*"))


def test_distinct_searches_run_once_within_the_cores(own, tmp_path, monkeypatch):
    log = tmp_path / "log"
    script = f"echo begin $* >> {log}; {ALONE}; sleep 0.4; echo end >> {log}"
    fake_program(tmp_path, "jackhmmer", script, monkeypatch)
    databases = [name_database(f"{kind}={own / kind}.fasta") for kind in ("uniref90", "uniprot")]
    queries = [Query(s, d) for s in PROTEINS for d in databases]
    seen = []
    local = LocalSearch(Cache(tmp_path / "cache"), 4, lambda *state: seen.append(state))
    assert len(local.run(queries + queries)) == 4
    lines = log.read_text().splitlines()
    assert len(lines) == 8 and all("--cpu 1" in line for line in lines if line != "end")
    assert seen[-1] == ([], 4, 4) and any("uniprot" in " ".join(names) for names, *_ in seen)
    local.run(queries)
    assert len(log.read_text().splitlines()) == 8  # nothing is made twice
    (own / "uniref90.fasta").write_text((own / "uniref90.fasta").read_text() + "\n")
    local.run(queries)
    assert len(log.read_text().splitlines()) == 12  # but in a database that changed


def test_an_interrupt_ends_programs_and_keeps_what_is_finished(own, tmp_path, monkeypatch):
    fake_program(tmp_path, "jackhmmer", f"case $* in *uniprot*) sleep 60;; esac; {ALONE}",
                 monkeypatch)
    databases = [name_database(f"{kind}={own / kind}.fasta") for kind in ("uniref90", "uniprot")]

    def interrupt(running, done, total):
        if done == 1:
            raise KeyboardInterrupt

    local = LocalSearch(Cache(tmp_path / "cache"), 2, interrupt)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        local.run([Query(PROTEINS[0], database) for database in databases])
    assert time.monotonic() - start < 10
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 1


def test_a_stopped_program_is_killed(tmp_path):
    programs = Programs()
    threading.Timer(0.1, programs.stop.set).start()
    start = time.monotonic()
    with pytest.raises(StoppedError):
        programs.run(["sleep", "60"], tmp_path)
    assert time.monotonic() - start < 5
