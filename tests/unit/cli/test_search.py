# SPDX-License-Identifier: Apache-2.0
"""The command `search`: what jobs lack is found and written, what they have stays, errors."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import fake_msa_server as fakes
import pytest
from own_relatives import PROTEINS, RNA, write_databases

from protenix_ms.cli import doctor
from protenix_ms.cli.main import main
from protenix_ms.features.msa_chain import species_of
from protenix_ms.io import read_jobs
from protenix_ms.io.a3m import parse_a3m
from protenix_ms.job import Polymer

FASTA = f">A|protein\n{PROTEINS[0]}\n>B|protein\n{PROTEINS[1]}\n>R|rna\n{RNA}\n"
STRANGER = "WWWWHHHHCCCCPPPPNNNNYYYY"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PROTENIX_MS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("protenix_ms.cli.search.PACE", 1e-4)
    if not shutil.which("jackhmmer"):
        pytest.importorskip("pyhmmer", reason="this machine has no HMMER and no pyhmmer")


@pytest.fixture
def own(tmp_path):
    return write_databases(tmp_path / "own")


@pytest.fixture
def fake():
    server = fakes.FakeServer()
    yield server
    server.close()


@pytest.fixture
def search(tmp_path, capsys):
    """Run the command on a text or documents; return code, output, errors, jobs by name."""
    def run(content, *words):
        path = tmp_path / "in" / ("jobs.json" if not isinstance(content, str) else "job.fasta")
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        out = tmp_path / "out"
        code = main(["search", "--input", str(path), "--output", str(out), "--cpus", "1",
                     *map(str, words)])
        said = capsys.readouterr()
        jobs = {job.name: job for job in read_jobs(out)} if list(out.glob("*.json")) else {}
        return code, said.out, said.err, jobs

    return run


def protein(sequence, **more):
    return {"proteinChain": {"sequence": sequence, "count": 1, **more}}


def test_local_databases(search, own, tmp_path):
    code, out, _, jobs = search(FASTA, "--databases", own)
    assert code == 0 and "1 of 1 jobs written" in out
    first, second, rna = jobs["job"].entities
    assert {*species_of(parse_a3m(first.paired_msa.text).names)} == {
        "", "HUMAN", "MOUSE", "YEAST", "ECOLI"}
    assert first.ids == ("A",) and first.templates.name == "hmmsearch.a3m"
    assert len(parse_a3m(rna.unpaired_msa.text).rows) == 5 and rna.paired_msa is None
    report = json.loads((tmp_path / "out" / "job" / "search.json").read_text())
    chain = report["chains"][1]
    assert (chain["rows"], chain["kept"], chain["paired_rows"]) == (8, 4, 4)
    assert chain["templates"] >= 4 and len(chain["coverage"]) == len(PROTEINS[1])
    assert 2 < chain["neff"] <= 5 and [s["name"].split(" ")[0] for s in chain["sources"]] == [
        "uniref90", "uniprot", "pdb_seqres"]
    assert max(s["seconds"] for s in chain["sources"]) > 0
    before = {p: p.read_bytes() for p in tmp_path.joinpath("out").rglob("*.a3m")}
    search(FASTA, "--databases", own)
    report = json.loads((tmp_path / "out" / "job" / "search.json").read_text())
    assert all(s["seconds"] == 0 for c in report["chains"] for s in c["sources"])
    assert before == {p: p.read_bytes() for p in tmp_path.joinpath("out").rglob("*.a3m")}


def test_species_come_from_uniref_where_uniprot_is_absent(search, own):
    _, _, _, jobs = search(FASTA, "--database", f"uniref90={own / 'uniref90.fasta'}")
    first, _, rna = jobs["job"].entities
    assert {*species_of(parse_a3m(first.paired_msa.text).names)} == {"", "7", "8", "9", "10"}
    assert first.unpaired_msa is None and rna.unpaired_msa is None and first.templates is None


@pytest.mark.parametrize("layout", ["colabfold", "protenix"])
def test_server(search, fake, layout):
    if layout == "protenix":
        fake.answers["msa"] = fakes.protenix_msa
    code, out, _, jobs = search(FASTA, "--msa-server", fake.url)
    assert code == 0 and fake.count("msa") == 1 and fake.count("pair") == (layout == "colabfold")
    first, second, rna = jobs["job"].entities
    pairs = [species_of(parse_a3m(e.paired_msa.text).names).tolist()[1:] for e in (first, second)]
    assert pairs == ([["1", "3", "4"], ["1", "2", "3", "4"]] if layout == "colabfold"
                     else [["9606", "9608"]] * 2)
    assert first.unpaired_msa and rna.unpaired_msa is None
    assert "entity 3: no alignment was searched, no database of RNA is given" in out


def test_one_chain_is_not_paired(search, own, fake):
    _, _, _, jobs = search(f">x\n{PROTEINS[0]}\n", "--databases", own, "--msa-server", fake.url)
    (chain,) = jobs["job"].entities
    assert chain.paired_msa is None and fake.count("pair") == 0
    assert len(parse_a3m(chain.unpaired_msa.text).rows) == 1 + 4 + 5  # of both, each once


def test_what_jobs_have_stays(search, own, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.a3m").write_text(f">q\n{PROTEINS[0]}\n>x\n{PROTEINS[0][:-1]}-\n")
    (folder / "l.sdf").write_text("x")
    content = {"name": "j", "modelSeeds": [7], "covalent_bonds": [], "sequences": [
        protein(PROTEINS[0], unpairedMsaPath="a.a3m"), protein(PROTEINS[1], unpairedMsa=""),
        {"ligand": {"ligand": "FILE_l.sdf", "count": 2}}, protein("GSHM"),
        {"dnaSequence": {"sequence": "GATTACA"}}]}
    code, out, _, jobs = search([content], "--databases", own)
    first, declined, ligand, short, dna = jobs["j"].entities
    assert code == 0 and first.unpaired_msa.source == str(folder / "a.a3m")
    assert jobs["j"].seeds == (7,) and ligand.count == 2 and ligand.file == folder / "l.sdf"
    assert first.templates and not any(e.unpaired_msa for e in (declined, short, dna))
    assert "entity 2: no alignment was searched, the job declines one" in out
    assert "entity 4: no alignment was searched, chains under 5 residues have none" in out
    assert json.loads((folder / "jobs.json").read_text()) == [content]
    assert sorted(p.name for p in folder.iterdir()) == ["a.a3m", "jobs.json", "l.sdf"]


def test_alignments_of_msa_count_and_are_written(search, own, tmp_path):
    given = tmp_path / "given.a3m"
    given.write_text(f">q\n{PROTEINS[0]}\n>mine\n{PROTEINS[0][:-1]}-\n")
    _, _, _, jobs = search(FASTA, "--databases", own, "--msa", given)
    first, second, _ = jobs["job"].entities
    assert parse_a3m(first.unpaired_msa.text).names == ["q", "mine"] and second.paired_msa


def test_alphafold3(search, own):
    entry = {"dialect": "alphafold3", "version": 1, "name": "af", "modelSeeds": [1]}
    chains = [{"protein": {"id": "A", "sequence": PROTEINS[0]}},
              {"protein": {"id": "B", "sequence": PROTEINS[1]}}]
    _, _, _, jobs = search(entry | {"sequences": chains}, "--databases", own)
    assert all(e.paired_msa and e.templates for e in jobs["af"].entities)
    # rows paired by hand have no place in a Protenix job, so it stays one of AlphaFold 3
    by_hand = f">q\n{PROTEINS[0]}\n>x\n{PROTEINS[0]}\n"
    chains[0]["protein"] |= {"unpairedMsa": by_hand, "pairedMsa": "", "templates": []}
    code, out, _, jobs = search(entry | {"sequences": chains}, "--databases", own)
    first, second = jobs["af"].entities
    assert code == 0 and first.keep_rows and first.unpaired_msa.text == by_hand
    assert "entity 2: AlphaFold 3's format has no place for template hits, which are in af" in out
    assert second.paired_msa and second.unpaired_msa is None


def test_a_chain_alone_is_an_error_that_costs_no_other_job(search, own, tmp_path):
    jobs = [{"name": name, "sequences": [protein(sequence)]}
            for name, sequence in (("good", PROTEINS[0]), ("bad", STRANGER))]
    code, out, err, written = search(jobs, "--databases", own)
    assert code == 1 and list(written) == ["good"] and "1 of 2 jobs written" in out
    assert ("'bad', entity 1: no relative of this chain of 24 residues was found in uniref90 "
            "(uniref90.fasta); give more databases") in err
    code, out, _, written = search(jobs, "--databases", own, "--allow-single-sequence")
    assert code == 0 and not written["bad"].entities[0].unpaired_msa
    assert "bad: entity 1: no relatives; its sequence stands alone" in out
    code, _, err, _ = search(jobs[:1], "--database", f"pdb_seqres={own / 'pdb_seqres.fasta'}",
                             "--no-templates")
    assert code == 2 and "none of the databases is for it" in err


def test_a_failing_server_costs_no_other_job(search, fake):
    jobs = [{"name": n, "sequences": [protein(s)]} for n, s in zip("ab", PROTEINS)]
    fake.polls = ["COMPLETE", "ERROR"]
    code, _, err, written = search(jobs, "--msa-server", fake.url)
    assert code == 1 and list(written) == ["a"] and "failed on these sequences" in err


def test_a_full_disk_leaves_no_half_file(search, own, tmp_path, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    search(FASTA, "--databases", own)
    (tmp_path / "out" / "job.json").unlink()
    before = sorted(tmp_path.joinpath("out").rglob("*"))
    monkeypatch.setattr("protenix_ms.files.sync", full)
    code, _, err, _ = search(FASTA, "--databases", own)
    assert code == 2 and "cannot be written (No space left on device)" in err
    assert sorted(tmp_path.joinpath("out").rglob("*")) == before


def _file(name, text):
    return lambda own: ["--database", f"{name}={_write(own / 'odd.fasta', text)}"]


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


BAD = {
    "nothing": (lambda own: [], "there is nothing to search in:"),
    "unknown kind": (lambda own: ["--database", f"uniref9={own / 'uniref90.fasta'}"],
                     "unknown kind of database 'uniref9'; did you mean uniref90?"),
    "no file": (lambda own: ["--database", "uniref90"], "names no file; write KIND=FILE"),
    "absent": (lambda own: ["--database", "bfd=/nowhere/x.fa"], "cannot be read (No such file"),
    "folder": (lambda own: ["--database", f"bfd={own}"], "cannot be read (Is a directory)"),
    "nucleotides": (_file("uniref90", ">x\nACGTACGTACGT\n"), "holds nucleotides, but this kind is"),
    "proteins": (_file("rfam", ">x\nMKVLAAGIV\n"), "holds proteins (letter 'I')"),
    "empty": (_file("bfd", "\n"), "database bfd: "),
    "no FASTA": (_file("bfd", "{}"), "it is no FASTA file; it must begin with '>'"),
    "empty folder": (lambda own: ["--databases", own / "none"], "no such folder"),
    "no scheme": (lambda own: ["--msa-server", "api.colabfold.com"], "write it with its scheme"),
    "auth alone": (lambda own: ["--msa-server-auth-env", "X", "--databases", own], "give both"),
    "auth unset": (lambda own: ["--msa-server", "http://x", "--msa-server-auth-env", "NOT_SET"],
                   "the environment variable NOT_SET is not set"),
    "shard": (lambda own: ["--databases", _write(own / "bfd.fa-00001-of-00064", ">x\nMK\n").parent],
              "a shard of a database is not read; join them: cat bfd.fa-*"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_places_are_refused(search, own, name):
    words, sentence = BAD[name]
    code, out, err, jobs = search(FASTA, *words(own))
    assert code == 2 and sentence in err and not jobs
    assert len(err.strip().splitlines()) == (3 if name == "nothing" else 1)


def test_output_beside_the_input_is_refused(own, tmp_path, capsys):
    path = _write(tmp_path / "x.fasta", FASTA)
    assert main(["search", "--input", str(path), "--output", str(tmp_path),
                 "--databases", str(own)]) == 2
    assert "it holds the input, which stays as it is" in capsys.readouterr().err


def test_fetch_says_what_to_download(capsys):
    assert main(["fetch", "databases"]) == 0
    out = capsys.readouterr().out
    assert "uniref90         71.8 GB" in out and "CC BY 4.0, The UniProt Consortium" in out
    assert main(["fetch", "databases", "mmcif_files", "--output", "/data"]) == 0
    out = capsys.readouterr().out
    assert "pdb_2022_09_28_mmcif_files.tar.zst | tar" in out and "-C /data" in out
    for words, sentence in ((["databases", "unirf90"], "did you mean uniref90?"),
                            (["protenix_tiny_default_v0.5.0", "x"], "fetch one model at a time")):
        assert main(["fetch", *words]) == 2
        assert sentence in capsys.readouterr().err


def test_doctor_lists_databases(own, tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    own.rename(tmp_path / "home" / "databases")
    (finding,) = doctor.databases()
    assert finding.state.startswith("uniref90 (uniref90.fasta), uniprot (") and not finding.fix
    (tmp_path / "home" / "databases" / "bfd.fa").write_text("")
    (finding,) = doctor.databases()
    assert finding.fix == "it is empty; download it again" and not finding.needed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_goes_on_from_there(own, tmp_path, number):
    """What runs ends with it, what is finished is kept, no job is written."""
    if not (real := shutil.which("jackhmmer")):
        pytest.skip("this machine has no HMMER (apt-get install hmmer)")
    programs = tmp_path / "bin"
    programs.mkdir()
    shim = _write(programs / "jackhmmer", "#!/bin/sh\ncase $* in *uniprot*) exec sleep 61.25;; esac"
                  f"\nexec {real} \"$@\"\n")
    shim.chmod(0o755)
    _write(tmp_path / "x.fasta", FASTA)
    command = [sys.executable, "-m", "protenix_ms.cli.main", "search", "--cpus", "4", "--input",
               str(tmp_path / "x.fasta"), "--output", str(tmp_path / "out"), "--databases",
               str(own)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"})
    kept = tmp_path / "home" / "search" / "local"
    for _ in range(600):
        if len(list(kept.glob("*.json"))) == 3:  # both chains in uniref90, the RNA in rfam
            break
        time.sleep(0.05)
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 1 and "the same command goes on from there" in out
    assert "interrupted" in out and not list((tmp_path / "out").glob("*"))
    assert len(list(kept.glob("*.json"))) == 3
    assert not subprocess.run(["pgrep", "-f", "sleep 61.25"], capture_output=True).stdout


def test_jobs_of_other_formats_lose_nothing(search, own):
    text = (f">protein|first\n{PROTEINS[0]}:(MSE){PROTEINS[0][1:]}\n>glycan|sugar\nNAG(4-1 NAG)\n"
            f">protein|name=L\n{PROTEINS[1]}\n>ion|salt\nMG\n>ligand|drug\nCC(=O)O\n")
    code, _, _, jobs = search(text, "--databases", own)
    (job,) = jobs.values()
    read = read_jobs(own.parent / "in" / "job.fasta")[0]
    assert code == 0 and job.bonds == read.bonds and len(job.bonds) == 1
    bare = [replace(e, **({"paired_msa": None, "unpaired_msa": None, "templates": None}
                          if isinstance(e, Polymer) else {})) for e in job.entities]
    assert bare == list(read.entities)
    assert [e.labels for e in job.entities] == [e.labels for e in read.entities]
    assert job.entities[0].labels == ("first:1",)


def test_a_job_without_proteins_is_written_as_it_is(search, own):
    code, out, _, jobs = search(">a|dna\nGATTACA\n>b|ccd\nATP\n", "--databases", own)
    assert code == 0 and len(jobs["job"].entities) == 2


def test_progress_is_told_where_there_is_no_terminal(search, own, monkeypatch):
    monkeypatch.setattr("protenix_ms.cli.search.SECONDS", 0.0)
    _, _, err, _ = search(FASTA, "--databases", own)
    assert "searches: 5 of 5 done" in err
    _, out, err, _ = search(FASTA, "--databases", own, "--quiet", "--overwrite")
    assert not out and not err
