# SPDX-License-Identifier: Apache-2.0
"""Which hits and structures become templates of a chain, and what is said of the others."""

import datetime
import gzip
import json
from dataclasses import replace

import numpy as np
import pytest
from template_text import atom, helix, mmcif

from protenix_ms.errors import InputError
from protenix_ms.features.optional import NUM_TEMPLATES, empty_template_features
from protenix_ms.features.template import merged_template_features
from protenix_ms.features.template_choice import (
    TemplateOptions,
    choose_templates,
    draw_templates,
)
from protenix_ms.job import Polymer, TemplateStructure

QUERY = "MKTAYIAKQRQISFVKSHFSRQ"
LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def header(name, first=1, last=22):
    return f">{name}/{first}-{last} [subseq from] mol:protein length:22  X"


def variant(number: int) -> str:
    """The query with one residue changed."""
    letter = LETTERS[(LETTERS.index(QUERY[number]) + 1) % 20]
    return QUERY[:number] + letter + QUERY[number + 1:]


@pytest.fixture
def folder(tmp_path):
    """Structures 1aa0 to 1aa9, each with its own variant of the query."""
    path = tmp_path / "structures"
    path.mkdir()
    for number in range(10):
        (path / f"1aa{number}.cif").write_text(helix(variant(number)))
    return path


@pytest.fixture
def choose(tmp_path, folder):
    """Write hits and choose among them."""
    def chosen(*rows, sequence=QUERY, quirks=False, structures=(), **options):
        path = tmp_path / f"hits{len(list(tmp_path.iterdir()))}.a3m"
        path.write_text("".join(f"{head}\n{row}\n" for head, row in rows))
        chain = Polymer("protein", sequence, templates=path, template_structures=structures)
        return choose_templates(chain, TemplateOptions(folder=folder, **options), quirks)
    return chosen


def hit(number, row=None, chain="a"):
    return header(f"1aa{number}_{chain}"), row or variant(number)


def reasons(choice):
    return {row.name: row.reason for row in choice.rows}


def test_four_are_kept_in_the_order_of_the_file(choose):
    choice = choose(*(hit(number) for number in (5, 3, 1, 2, 4)))
    assert [template.name for template in choice.templates] == [
        "1aa5_a", "1aa3_a", "1aa1_a", "1aa2_a"]
    assert reasons(choice)["1aa4_a"] == "4 templates are kept already"
    first = choice.rows[0]
    assert (first.aligned, first.identity, first.chance) == (22, 21 / 22, False)


@pytest.mark.parametrize("row, says", [
    (hit(0, QUERY), "a copy of the query"),
    (hit(0, "MK" + "-" * 20), "at most 10%"),
    (hit(0, "MKTAYI" + "-" * 16), "under 10 residues"),
    ((header("9zzz_a"), variant(0)), "no structure in"),
    (hit(0, chain="Q"), "no protein chain Q, there are a"),
    ((header("toolong_a"), variant(0)), "its name is not like 1abc_A"),
])
def test_a_hit_that_is_not_used_has_its_reason(choose, row, says):
    choice = choose(row)
    assert choice.templates == () and says in choice.rows[0].reason


def test_a_piece_of_the_query_may_be_a_template(choose):
    assert len(choose(hit(0, QUERY[:18] + "----")).templates) == 1


def test_hits_of_equal_residues_count_once(choose):
    choice = choose(hit(1), (header("1aa2_a"), variant(1)))
    assert reasons(choice)["1aa2_a"] == "the same residues as a hit before"


def test_hits_laid_alike_count_once(choose, folder):
    (folder / "1aa2.cif").write_text(helix(variant(1)))
    choice = choose(hit(1), (header("1aa2_a"), variant(2)))
    assert reasons(choice)["1aa2_a"] == "the same aligned residues as a template before"


def test_dates_come_from_the_structure_or_the_table(choose, folder):
    day = datetime.date(2019, 5, 6)
    assert len(choose(hit(1), latest=day).templates) == 1
    early = choose(hit(1), latest=day - datetime.timedelta(days=1))
    assert early.rows[0].reason == "released 2019-05-06, after 2019-05-05"
    (folder / "1aa1.cif").write_text(helix(variant(1)).replace("2019-05-06", "?").replace(
        "2020-01-02", "?"))
    assert choose(hit(1), latest=day).rows[0].reason == "its structure tells no release date"


@pytest.mark.parametrize("quirks", [True, False])
def test_the_table_of_dates_decides_alone_only_as_a_quirk(choose, tmp_path, quirks):
    structures = tmp_path / "mmcif"
    structures.mkdir()
    (tmp_path / "common").mkdir()
    for number in (1, 2):
        (structures / f"1aa{number}.cif").write_text(helix(variant(number)))
    table = {"1AA1": {"release_date": "2019-05-06"}}
    (tmp_path / "common" / "release_date_cache.json").write_text(json.dumps(table))
    path = tmp_path / "some.a3m"
    path.write_text("".join("\n".join(hit(number)) + "\n" for number in (1, 2)))
    choice = choose_templates(Polymer("protein", QUERY, templates=path),
                              TemplateOptions(folder=structures), quirks)
    assert len(choice.templates) == (1 if quirks else 2)


def test_an_obsolete_entry_is_replaced(choose, folder):
    (folder / "obsolete_to_successor.json").write_text('{"2bb2": "1aa2"}')
    assert len(choose((header("2bb2_a"), variant(2))).templates) == 1


@pytest.mark.parametrize("text", ["[]", '{"1aa1": {}}', '{"1aa1": {"release_date": "soon"}}'])
def test_a_damaged_table_is_refused(choose, folder, text):
    (folder / "release_date_cache.json").write_text(text)
    with pytest.raises(InputError, match="release_date_cache.json.*correct or remove"):
        choose(hit(1))


def test_structures_are_found_in_either_case_and_packed(choose, folder):
    (folder / "1aa1.cif").unlink()
    (folder / "1AA1.cif.gz").write_bytes(gzip.compress(helix(variant(1)).encode()))
    assert len(choose(hit(1)).templates) == 1
    (folder / "1AA1.cif.gz").write_bytes(b"\x1f\x8b\x08junk")
    assert "damaged gzip" in choose(hit(1)).rows[0].reason


def test_identity_may_be_asked_for(choose):
    assert choose(hit(1), min_identity=0.95).templates
    choice = choose(hit(1), min_identity=0.96)
    assert choice.rows[0].reason == "identity under 96%" and choice.rows[0].aligned == 22


def test_a_chance_hit_is_marked(choose, folder):
    """The hit's own ten residues are not where the whole chain aligns them."""
    (folder / "1aa1.cif").write_text(helix("WWWWWWWWWWWW" + variant(1)))
    head = header("1aa1_a", 1, 12)
    choice = choose((head, "W" * 12 + "-" * 10))
    assert choice.rows[0].chance and choice.templates
    right = choose((header("1aa1_a", 13, 34), variant(1)))
    assert not right.rows[0].chance


def test_neighbours_that_are_torn_apart(choose, folder):
    atoms = [atom("CA", "MET", 1, 0), *(atom("CA", "LYS", n, 200 + n) for n in range(2, 23))]
    (folder / "1aa1.cif").write_text(mmcif(atoms, [(n, "LYS") for n in range(1, 23)]))
    assert "over 150 angstrom" in choose(hit(1)).rows[0].reason


def test_structures_of_the_job_come_first_and_need_no_date(choose):
    own = TemplateStructure(helix("WWMKTAYIAK"), "here", "x.cif")
    listed = replace(own, query_indices=(0, 21), template_indices=(9, 0))
    choice = choose(hit(1), structures=(own, listed), latest=datetime.date(1990, 1, 1))
    aligned, by_index = choice.templates
    assert (aligned.restype[:8] != 31).all() and (aligned.restype[8:] == 31).all()
    assert ["ARNDCQEGHILKMFPSTWYVX"[i] for i in by_index.restype[[0, 21]]] == ["K", "W"]
    assert by_index.mask.any(axis=1).sum() == 2
    assert [row.name for row in choice.rows] == ["x.cif", "x.cif", "1aa1_a"]


def test_short_chains_have_none(choose):
    choice = choose(hit(1), sequence="MKTA")
    assert choice.templates == () and "under 5 residues" in choice.notes[0]


def test_rows_that_are_no_hits_are_counted(choose):
    choice = choose((">query", QUERY), hit(1))
    assert len(choice.templates) == 1 and choice.notes[0].startswith("1 rows of")


def test_without_templates_features_stay_the_read_only_zeros():
    n = np.arange(7)
    features = merged_template_features([(7, ())], 0 * n, n + 1)
    for name, value in empty_template_features(7).items():
        assert features[name].dtype == value.dtype and features[name].strides == value.strides
        np.testing.assert_array_equal(features[name], value)


def test_chains_beside_a_template_stay_empty(choose):
    templates = choose(hit(1), hit(2)).templates
    chain = np.repeat([0, 1], 22)
    features = merged_template_features([(22, ()), (22, templates)], chain, np.arange(44) % 22 + 1)
    assert (features["template_aatype"][0, :22] == 31).all()
    assert not features["template_aatype"][1:, :22].any()
    assert not features["template_distogram"][:, :22].any()
    assert features["template_backbone_frame_mask"][:2, 22:, 22:].all()
    assert not features["template_pseudo_beta_mask"][2:].any()


def test_training_draws_any_number_and_order(tmp_path, folder):
    path = tmp_path / "hits.a3m"
    path.write_text("".join("\n".join(hit(number)) + "\n" for number in range(10)))
    options = TemplateOptions(folder=folder)
    drawn = [tuple(t.name for t in draw_templates(QUERY, path, options, np.random.default_rng(s)))
             for s in range(40)]
    assert {len(names) for names in drawn} == {0, 1, 2, 3, NUM_TEMPLATES}
    assert len({names[0] for names in drawn if names}) > 5
    again = draw_templates(QUERY, path, options, np.random.default_rng(7))
    assert tuple(t.name for t in again) == drawn[7]
    old = replace(options, latest=datetime.date(2000, 1, 1))
    assert draw_templates(QUERY, path, old, np.random.default_rng(0)) == ()
