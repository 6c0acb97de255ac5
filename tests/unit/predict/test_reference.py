# SPDX-License-Identifier: Apache-2.0
"""Samples beside known structures: chains under other names, other numbers, missing residues."""

import json
from dataclasses import replace

import numpy as np
import pytest

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.data.reference import ReferenceStructure
from protenix_ms.errors import InputError
from protenix_ms.features.assembly import assemble
from protenix_ms.features.build import feature_draws
from protenix_ms.geometry.rigid import random_rotations
from protenix_ms.io.mmcif_write import StructureInfo, write_mmcif
from protenix_ms.job import Job, Ligand, Polymer
from protenix_ms.predict.reference import Comparison, find_references, length_table

CCD = ComponentDictionary.load()
SEQUENCE = "MKTAYIAKQRLVWDEFGHPS"
JOB = Job("job", (Polymer("protein", SEQUENCE, count=2), Ligand(codes=("GOL",), count=2),
                  Polymer("dna", "ACGT")), source="job.json")
PERFECT = {"tm_score": 1.0, "lddt": 1.0, "rmsd": 0.0}


def compact(atoms, rng):
    """Coordinates with distinct distances, residues near each other."""
    return (4 * rng.normal(size=(len(atoms), 3)) + 3 * atoms.res_id[:, None]).astype(np.float32)


@pytest.fixture(name="sample")
def fixture_sample():
    rng = np.random.default_rng(5)
    atoms = assemble(JOB, CCD, feature_draws(JOB, 1))
    return atoms, compact(atoms, rng)


def write(path, atoms, x, kinds=None):
    kinds = kinds or {"1": "protein", "2": "ligand", "3": "dna"}
    write_mmcif(path, atoms, x, np.full(len(x), 50.0), StructureInfo("known", "known", kinds))


def turned(x, rng):
    return (x @ random_rotations(rng, 1)[0].T + 20).astype(np.float32)


def test_a_moved_copy_is_perfect(sample, tmp_path):
    atoms, x = sample
    write(tmp_path / "known.cif", atoms, turned(x, np.random.default_rng(1)))
    scores = Comparison(JOB, tmp_path / "known.cif", CCD).judge(1, x)
    assert scores == pytest.approx(PERFECT, abs=2e-3)


def test_equal_chains_and_ligands_are_exchanged(sample, tmp_path):
    atoms, x = sample
    names = dict(zip("ABCDE", "BADCE"))
    swapped = atoms.with_columns(chain_id=np.array([names[c] for c in atoms.chain_id]))
    write(tmp_path / "known.cif", swapped, turned(x, np.random.default_rng(1)))
    scores = Comparison(JOB, tmp_path / "known.cif", CCD).judge(1, x)
    assert scores == pytest.approx(PERFECT, abs=2e-3)


def test_missing_residues_other_numbers_and_a_tail(sample, tmp_path):
    atoms, x = sample
    longer = replace(JOB, entities=(Polymer("protein", "GSHM" + SEQUENCE + "LE", count=2),
                                    *JOB.entities[1:]))
    whole = assemble(longer, CCD, feature_draws(longer, 1))
    known = compact(whole, np.random.default_rng(2))
    for row, key in enumerate(zip(whole.chain_id, whole.res_id - 4 * (whole.entity_id == "1"),
                                  whole.atom_name)):
        same = [i for i, other in enumerate(zip(atoms.chain_id, atoms.res_id, atoms.atom_name))
                if other == key]
        if same:
            known[row] = x[same[0]]
    seen = ~((whole.entity_id == "1") & np.isin(whole.res_id, (9, 10, 11)))
    write(tmp_path / "known.cif", whole[seen], known[seen])
    comparison = Comparison(JOB, tmp_path / "known.cif", CCD)
    assert comparison.judge(1, x) == pytest.approx(PERFECT, abs=2e-3)
    labels = ReferenceStructure.read(tmp_path / "known.cif", CCD).labels(atoms)
    lost = labels["coordinate_mask"] == 0
    assert set(atoms.res_id[lost & (atoms.entity_id == "1")]) == {5, 6, 7, 20}  # and OXT
    moved = x + np.where((atoms.res_id == 3)[:, None], 3.0, 0.0).astype(np.float32)
    worse = comparison.judge(1, moved)
    assert worse["rmsd"] > 0.3 and worse["lddt"] < 0.99


def test_more_copies_than_the_job_has(sample, tmp_path):
    atoms, x = sample
    single = replace(JOB, entities=(Polymer("protein", SEQUENCE), Polymer("dna", "ACGT")))
    mine = assemble(single, CCD, feature_draws(single, 1))
    rows = np.isin(atoms.chain_id, ("B", "E"))  # the second copy fits, the first one does not
    write(tmp_path / "known.cif", atoms, x)
    scores = Comparison(single, tmp_path / "known.cif", CCD).judge(1, x[rows])
    assert scores == pytest.approx(PERFECT, abs=2e-3)
    assert len(mine) == rows.sum()


def test_another_structure_is_refused(sample, tmp_path):
    atoms, _ = sample
    other = Job("other", (Polymer("protein", "WWWWWWWWWWWW"),), source="other.json")
    foreign = assemble(other, CCD, feature_draws(other, 1))
    write(tmp_path / "known.cif", foreign, compact(foreign, np.random.default_rng(3)),
          {"1": "protein"})
    with pytest.raises(InputError, match="no chain of the job is in this structure"):
        ReferenceStructure.read(tmp_path / "known.cif", CCD).labels(atoms)


def test_references_are_named_after_jobs(tmp_path):
    jobs = [replace(JOB, name="a"), replace(JOB, name="b")]
    assert find_references(None, jobs, CCD) == {}
    with pytest.raises(InputError, match="no such file or folder"):
        find_references(tmp_path / "none", jobs, CCD)
    with pytest.raises(InputError, match="named after a job"):
        find_references(tmp_path, jobs, CCD)
    (tmp_path / "b.pdb.gz").write_bytes(b"")
    assert find_references(tmp_path, jobs, CCD)["b"].path.name == "b.pdb.gz"
    with pytest.raises(InputError, match="one structure for 2 jobs"):
        find_references(tmp_path / "b.pdb.gz", jobs, CCD)


def test_means_by_length():
    rows = [{"tokens": n, "tm_score": t, "lddt": t, "rmsd": 1.0} for n, t in (
        (50, 0.5), (100, 1.0), (101, 0.2), (5000, None))]
    assert length_table(rows) == [
        ("1-100", "2", "0.750", "0.750", "1.000"), ("101-300", "1", "0.200", "0.200", "1.000"),
        ("over 1200", "1", "-", "-", "1.000")]


def test_known_jobs_are_told_by_their_chains():
    from protenix_ms.io import read_jobs
    from protenix_ms.predict.demonstration import JOBS, known_structure

    for entry in json.loads(JOBS.read_text(encoding="utf-8")):
        assert known_structure(read_jobs(JOBS)[0]).is_file(), entry["name"]
    trp = Job("mine", (Polymer("protein", "NLYIQWLKDGGPSSGRPPPS", ids=("Q",)),))
    assert known_structure(trp).name == "trp_cage.cif.gz"
    assert known_structure(replace(trp, entities=(*trp.entities, Ligand(codes=("GOL",))))) is None
    twice = replace(trp, entities=(replace(trp.entities[0], count=2),))
    assert known_structure(twice) is None
