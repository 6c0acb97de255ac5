# SPDX-License-Identifier: Apache-2.0
"""What a run says and keeps of templates, and that a result depends on them alone."""

from dataclasses import replace

import pytest
from template_text import helix

from protenix_ms.features import FeatureOptions
from protenix_ms.features.template_choice import TemplateOptions
from protenix_ms.job import Job, Polymer, TemplateStructure
from protenix_ms.predict.job_folder import job_content
from protenix_ms.predict.templates import (
    note_templates,
    template_content,
    template_lines,
    template_record,
)

QUERY = "MKTAYIAKQRQISFVKSHFSRQ"


@pytest.fixture
def options(tmp_path):
    (tmp_path / "1abc.cif").write_text(helix("W" * 12 + QUERY))
    return FeatureOptions(templates=TemplateOptions(folder=tmp_path))


@pytest.fixture
def job(tmp_path):
    rows = [("1abc_a/1-12", "W" * 12 + "-" * 10), ("9zzz_A/1-22", "F" * 22),
            ("8zzz_A/1-22", "H" * 22)]
    (tmp_path / "hits.a3m").write_text("".join(
        f">{name} [subseq from] mol:protein length:34  X\n{row}\n" for name, row in rows))
    return Job("j", (Polymer("rna", "ACGU"), Polymer("protein", QUERY,
                                                     templates=tmp_path / "hits.a3m")))


def test_the_run_counts_marks_and_explains(job, options, tmp_path):
    assert list(note_templates(job, options)) == [
        "entity 2: 1 of 3 templates used",
        "entity 2: a template may be a chance hit, see the table; --min-template-identity leaves "
        "such out"]
    head, row, others = template_lines(job, options)
    assert head.split() == ["entity", "2:", "template", "use", "aligned", "identity"]
    assert row.split()[:7] == ["entity", "2:", "1abc_a", "yes", "22", "100%", "chance"]
    assert others == f"entity 2: 2 not used: no structure in {tmp_path}"
    record = template_record(job, options)
    assert record["latest"] == "2021-09-30" and len(record["hits"]) == 3
    assert {hit["entity"] for hit in record["hits"]} == {2}


def test_no_template_at_all_is_said_with_the_first_reason(job, options):
    bare = replace(options, templates=TemplateOptions())
    assert list(note_templates(job, bare)) == [
        "entity 2 runs without a template: none of 3 can be used, the first is 1abc_a (no "
        "--template-structures is given)"]
    assert template_content(job, bare) == []


def test_a_file_without_hits_is_said(job, options, tmp_path):
    (tmp_path / "hits.a3m").write_text("")
    assert list(note_templates(job, options)) == ["entity 2: hits.a3m holds no template hits"]


def test_a_folder_for_no_hits_is_said(job, options):
    (note,) = note_templates(replace(job, entities=job.entities[:1]), options)
    assert note.startswith("--template-structures is not read")


def test_a_model_without_an_embedder_reads_nothing(job, options):
    off = replace(options, templates=replace(options.templates, use=False))
    assert not list(note_templates(job, off)) and template_record(job, off) == {}


def test_a_result_depends_on_the_structures_that_are_used(job, options, tmp_path):
    before = template_content(job, options)
    assert len(before) == 1 and before == template_content(job, options)
    (tmp_path / "2abc.cif").write_text("of no hit")
    assert before == template_content(job, options)
    (tmp_path / "1abc.cif").unlink()
    (tmp_path / "1abc.cif").write_text(helix("W" * 13 + QUERY))
    assert before != template_content(job, options)


def test_a_result_depends_on_the_text_of_a_structure_not_on_its_place():
    own = TemplateStructure(helix(QUERY), "here", "x.cif")
    contents = [job_content(Job("j", (Polymer("protein", QUERY, template_structures=(s,)),)))
                for s in (own, replace(own, source="there", name="y"), replace(own, chain="a"))]
    assert contents[0] == contents[1] != contents[2]
