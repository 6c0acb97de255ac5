# SPDX-License-Identifier: Apache-2.0
"""Alignments, FASTA dialects and foreign formats that once were misread or lost."""

from collections import Counter

import numpy as np
import pytest

from protenix_ms.config import get_config
from protenix_ms.errors import InputError
from protenix_ms.features import FeatureOptions
from protenix_ms.features.build import build
from protenix_ms.io import read_jobs, say_skipped, scan_jobs, validate
from protenix_ms.job import Polymer
from protenix_ms.predict.notes import collect_notes
from protenix_ms.predict.settings import Settings
from protenix_ms.predict.weights import Weights


@pytest.fixture
def make(cases, ccd):
    def make_example(file: str, **options):
        (job,) = read_jobs(cases / file)
        validate(job, ccd)
        return build(job, ccd, np.random.default_rng(0), FeatureOptions(**options))

    return make_example


def test_dots(make):
    assert make("a3m-dots/job.json").features["has_deletion"].sum() == 0
    assert make("a3m-dots/job.json", upstream_quirks=True).features["has_deletion"].sum() == 1


def test_zero_byte(make):
    rows = make("a3m-trailing-zero-byte/job.json").features["msa"]
    assert len(np.unique(rows, axis=0)) == 2


def test_thymine(make):
    rows = make("rna-msa-thymine/job.json").features["msa"]
    assert (rows != 25).all() and (rows[0] == rows[1]).all() and (rows == 24).sum() == 9


def test_pairs_without_species(make, cases, ccd, tmp_path):
    file = "paired-msa-without-species/job.json"
    assert make(file).features["prot_pair_num_alignments"] == 3
    assert make(file, upstream_quirks=True).features["prot_pair_num_alignments"] == 1
    (job,) = read_jobs(cases / file)
    config = get_config("protenix_tiny_default_v0.5.0")
    for quirks, says in ((False, "row k of each is paired"), (True, "no row of it is paired")):
        options = FeatureOptions(upstream_quirks=quirks)
        settings = Settings(tmp_path, config, Weights(random_seed=0), ccd, options)
        assert [note for note in collect_notes(job, settings) if says in note]


def test_vertical_tab(cases):
    (job,) = read_jobs(cases / "fasta-vertical-tab/job.fasta")
    assert job.entities[0].sequence == "MKTAYIAKQR"


def test_compressed_alignments(cases):
    protein, rna = read_jobs(cases / "suite-af3-compressed-msa/job.json")[0].entities
    assert protein.paired_msa and protein.unpaired_msa.text.count(">") == 2
    assert rna.unpaired_msa.text.count(">") == 2


def test_chai_headers(cases):
    def kinds(name):
        (job,) = read_jobs(cases / "suite-chai-headers" / name)
        return [e.kind if isinstance(e, Polymer) else e.smiles or e.codes for e in job.entities]

    assert kinds("ligand.fasta") == ["protein", "CSC"]
    assert kinds("../messages-of-refusals/chai_without_name.fasta") == ["CCS", "protein"]
    assert kinds("nucleic.fasta") == ["dna", "rna"]
    assert kinds("one_sugar.fasta") == ["protein", ("MAN",)]
    assert kinds("two_sugars.fasta") == ["protein", ("NAG", "NAG"), ("NAG",)]


def test_chai_glycans(make, cases):
    sugars = make("suite-chai-glycans/two_sugars.fasta").atoms
    assert Counter(sugars.element.tolist()) == {"C": 16, "N": 2, "O": 11}
    (job,) = read_jobs(cases / "suite-chai-glycans/branched.fasta")
    bonds = [(b.first.position, b.first.atom, b.second.position, b.second.atom) for b in job.bonds]
    assert bonds == [(1, "O4", 2, "C1"), (2, "O4", 3, "C1"), (3, "O3", 4, "C1"),
                     (3, "O6", 5, "C1")]
    (job,) = read_jobs(cases / "suite-chai-glycans/modified.fasta")
    changes = {m.position: m.code for m in job.entities[0].modifications}
    assert job.entities[0].sequence == "RKDESMEESSK" and changes == {6: "MSE", 10: "SEP"}


def test_openfold3_query(make, cases):
    (job,) = read_jobs(cases / "suite-of3-query/query.json")
    assert [e.ids for e in job.entities] == [("A", "B"), ("D",), ("F", "G"), ("Z",)]
    atoms = make("suite-of3-query/query.json").atoms
    assert {"PSU", "5MC", "ATP"} <= set(atoms.res_name.tolist())


def test_foreign_formats(cases):
    folder = cases / "clients-foreign-formats"
    (error,) = scan_jobs(folder / "foldrunner_boltz.yaml")
    assert isinstance(error, InputError) and "Boltz YAML" in str(error)
    homo, hetero, _ = read_jobs(folder / "foldrunner_colabfold.csv")
    assert homo.entities[0].count == 2 and len(hetero.entities) == 2
    assert "foldrunner_boltz.yaml (looks like a Boltz YAML)" in say_skipped(folder)
