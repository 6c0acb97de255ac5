# SPDX-License-Identifier: Apache-2.0
"""Structures to be scored: their jobs, which atoms are missing, what is refused."""

import gzip
import sys

import numpy as np
import pytest

from protenix_ms.cli.main import main
from protenix_ms.data.scored import read_scored, structure_files
from protenix_ms.errors import InputError
from protenix_ms.features.assembly import assemble
from protenix_ms.job import Job, Ligand, Polymer

SEQUENCE = "MKTAYIARQRGSDEFHLNPW"
WEIGHTS = ("--model", "protenix_tiny_default_v0.5.0", "--random-weights", "0")


@pytest.fixture
def source(deposit_files):
    return deposit_files / "1abc.cif"


@pytest.fixture
def place(source, ccd, tmp_path):
    """`place(keep, job)`: the file without the lines that `keep` refuses, placed on its job."""

    def call(keep=lambda words: True, job=None):
        path = tmp_path / "1abc.cif"
        path.write_text("\n".join(
            line for line in source.read_text().splitlines()
            if not line.startswith(("ATOM", "HETATM")) or keep(line.split())) + "\n")
        structure = read_scored(path, ccd, job)
        atoms = assemble(structure.job, ccd, np.random.default_rng(0))
        return structure, atoms, structure.place(atoms)

    return call


def test_a_structure_is_its_own_job(place):
    structure, atoms, placed = place()
    assert [type(e).__name__ for e in structure.job.entities] == ["Polymer"] * 3 + ["Ligand"] * 2
    assert (structure.key, structure.job.name) == ("1abc", "1abc")
    assert atoms.chain_id.tolist() == structure.atoms.chain_id.tolist()
    assert placed.seen.all() and placed.notes == ()
    assert np.array_equal(placed.coord, structure.atoms.coord) and placed.apart() is not None


def test_missing_atoms_lie_in_their_residue_and_apart_for_contacts(place):
    def keep(words):
        return not (words[6] == "B" and words[8] == "5" and words[3] in ("CD1", "CZ")
                    or words[6] == "A" and words[8] in ("2", "3"))

    _, atoms, placed = place(keep)
    gone = int((~placed.seen).sum())
    assert placed.notes == (f"{gone} of {len(atoms)} atoms are missing: A 2 LYS N, CA, C, O, CB, "
                            "CG, CD, CE, NZ; A 3 THR N, CA, C, O, CB, OG1, CG2; B 5 TYR CD1, CZ",)
    own = (atoms.chain_id == "B") & (atoms.res_id == 5)
    assert np.allclose(placed.coord[own & ~placed.seen], placed.coord[own & placed.seen].mean(0))
    first = (atoms.chain_id == "A") & (atoms.res_id == 2)
    nearest = placed.coord[(atoms.chain_id == "A") & (atoms.res_id == 1)].mean(0)
    assert np.allclose(placed.coord[first], nearest, atol=1e-4)
    x = placed.apart()
    assert np.array_equal(x[placed.seen], placed.coord[placed.seen])
    far = np.linalg.norm(x[~placed.seen][:, None] - x[None], axis=-1)
    assert (np.sort(far, axis=1)[:, 1] > 500).all()


def test_over_a_fifth_missing_is_refused(place):
    with pytest.raises(InputError, match=r"\d+ of \d+ atoms are missing, over 20%: A 1 MET N"):
        place(lambda words: words[3] in ("CA", "CB") or words[6] != "A")


def job_with(last, chains=("A", "B", "C")):
    proteins = [Polymer("protein", s, ids=(c,)) for s, c in zip(
        (SEQUENCE, SEQUENCE, last), chains)]
    return Job("mine", (*proteins, Ligand(codes=("ATP",), ids=("D",))))


def test_a_job_may_be_given(place):
    structure, _, placed = place(job=job_with("GSHMSWLEEVRKALDNHPYCIT"))
    assert (structure.key, structure.job.name) == ("mine", "1abc")
    assert placed.notes == ("1 atoms of the file are not used: E 1 MG MG",)


@pytest.mark.parametrize(("job", "reason"), [
    (job_with("GSHMSWLEEVRKALDNHPYCIT", ("A", "B", "X")), "no chain X; name .*: A, B, C, D, E"),
    (job_with("GSHMSWLEEVRKALDNHPYCIW"), "residue 22 of chain C is THR, in the job TRP"),
])
def test_another_job_is_refused(job, reason, place):
    with pytest.raises(InputError, match=reason):
        place(job=job)


def test_files_of_a_folder(source, tmp_path):
    for name in ("b.cif", "a.pdb", "note.txt"):
        (tmp_path / name).write_text("")
    assert [p.name for p in structure_files(tmp_path)] == ["a.pdb", "b.cif"]
    assert structure_files(source) == [source]


def commands(folder, source):
    """Words of a command that cannot start, and what it says."""
    empty = folder / "empty"
    empty.mkdir()
    twice = folder / "twice"
    twice.mkdir()
    (twice / "x.cif").write_text("data_x\n")
    (folder / "bad.cif.gz").write_bytes(gzip.compress(b"data_x\n")[:-5])
    msa = folder / "a.a3m"
    msa.write_text(">q\nMKV\n")
    jobs = folder / "jobs.json"
    jobs.write_text('[{"name": "x", "sequences": [{"proteinChain": {"sequence": "MK", "count": 1}}'
                    ']}, {"name": "y", "sequences": [{"ligand": {"ligand": "CCD_ATP"}}]}]')
    lacking = folder / "one.json"
    lacking.write_text('[{"name": "x", "sequences": [{"proteinChain": {"sequence": "MK", "count": '
                       '1, "id": ["Z"]}}]}]')
    return [
        ([empty], "holds no structures"), ([folder / "none.cif"], "no such file"),
        ([folder / "bad.cif.gz"], "not a readable mmCIF"), ([twice], "no atoms"),
        ([source, "--msa", msa], "first sequence of the alignment is no chain"),
        ([source, "--job", jobs], "the file holds 2 jobs"),
        ([source, "--job", folder / "absent.json"], "no such file; correct --job"),
        ([source, "--job", lacking], "there is no chain Z; name the job's chains as the file's"),
        ([source, "--dtype", "bf16"], "bf16 runs on Ascend only"),
    ]


def test_what_cannot_start_ends_with_two_and_a_sentence(source, tmp_path, capsys):
    loaded = "mindspore" in sys.modules
    for words, says in commands(tmp_path, source):
        assert main(["score", *map(str, words), *WEIGHTS]) == 2, words
        error = capsys.readouterr().err
        assert says in error and "Traceback" not in error, error
    assert ("mindspore" in sys.modules) == loaded
