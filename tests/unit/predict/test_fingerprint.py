# SPDX-License-Identifier: Apache-2.0
"""A fingerprint changes with everything a result depends on, and with nothing else."""

from dataclasses import replace

import pytest

from protenix_ms.job import Alignment, Job, Ligand, Modification, Polymer
from protenix_ms.predict.job_folder import fingerprint

PROTEIN = Polymer("protein", "MKV", unpaired_msa=Alignment(">q\nMKV\n", "a.a3m"))
JOB = Job("job", (PROTEIN, Ligand(codes=("ATP",))), seeds=(1,), source="x.json, job 1")
SETTINGS = {"version": "1", "config": {"steps": 5}, "weights": "abc"}
BASE = fingerprint(JOB, 1, SETTINGS)


def with_protein(**changes) -> Job:
    return replace(JOB, entities=(replace(PROTEIN, **changes), *JOB.entities[1:]))


@pytest.mark.parametrize("job", [
    replace(JOB, name="other"),
    replace(JOB, entities=JOB.entities[:1]),
    with_protein(sequence="MKL"),
    with_protein(count=2),
    with_protein(ids=("Z",)),
    with_protein(modifications=(Modification("SEP", 1),)),
    with_protein(unpaired_msa=Alignment(">q\nMKV\n>r\nMKL\n", "a.a3m")),
    with_protein(unpaired_msa=None),
    with_protein(unpaired_msa=None, paired_msa=PROTEIN.unpaired_msa),
])
def test_the_job_counts(job):
    assert fingerprint(job, 1, SETTINGS) != BASE


@pytest.mark.parametrize("settings", [
    {**SETTINGS, "version": "2"}, {**SETTINGS, "config": {"steps": 6}},
    {**SETTINGS, "weights": "abd"}, {**SETTINGS, "more": None},
])
def test_settings_and_seed_count(settings):
    assert fingerprint(JOB, 1, settings) != BASE
    assert fingerprint(JOB, 2, SETTINGS) != BASE


@pytest.mark.parametrize("job", [
    replace(JOB, source="elsewhere.json"),
    replace(JOB, seeds=(1, 2)),
    with_protein(unpaired_msa=Alignment(">q\nMKV\n", "moved.a3m")),
])
def test_places_do_not_count(job):
    assert fingerprint(job, 1, SETTINGS) == BASE


def test_a_ligand_file_counts_by_content(tmp_path):
    first, second = tmp_path / "a.sdf", tmp_path / "b.sdf"
    first.write_text("x")
    second.write_text("x")
    jobs = [Job("j", (Ligand(file=path),)) for path in (first, second)]
    assert fingerprint(jobs[0], 1, {}) == fingerprint(jobs[1], 1, {})
    second.write_text("y")
    assert fingerprint(jobs[0], 1, {}) != fingerprint(jobs[1], 1, {})
