# SPDX-License-Identifier: Apache-2.0
"""What a run says about alignments that do not pair, or pair row by row."""

from dataclasses import replace

import pytest

from protenix_ms.features import FeatureOptions
from protenix_ms.job import Alignment, Job, Polymer
from protenix_ms.predict.notes import collect_notes

FIRST, SECOND = "MKTAYI", "GSHMEVK"


def protein(sequence, *names, **extra):
    text = "".join(f">{name}\n{sequence}\n" for name in ("query", *names))
    return Polymer("protein", sequence, paired_msa=Alignment(text, "x"), **extra)


@pytest.fixture
def notes(make_settings):
    def collect(*entities, **options):
        settings = replace(make_settings(), options=FeatureOptions(**options))
        notes = collect_notes(Job("j", entities), settings)
        return [note for note in notes if "have no alignment" not in note]

    return collect


def test_pairing_by_row_is_said(notes):
    (note,) = notes(protein(FIRST, "a", "b"), protein(SECOND, "UniRef100_A1", "c"))
    assert "name no species: row k" in note and "3 rows" in note
    (note,) = notes(protein(FIRST, "a"), protein(SECOND, "b"), upstream_quirks=True)
    assert "entity 1, 2 shares no species" in note


def test_what_pairs_with_nothing_is_named(notes):
    human, mouse = "UniRef100_A_9606", "UniRef100_B_10090"
    assert notes(protein(FIRST, human, "x"), protein(SECOND, mouse, human)) == []
    assert notes(protein(FIRST, "x")) == [] and notes(protein(FIRST, "x", count=2)) == []
    for others in ((protein(SECOND, mouse),), (protein(SECOND, "a", "b", "c"),),
                   (Polymer("protein", SECOND),)):
        (note,) = notes(protein(FIRST, "x", human), *others)
        assert "entity 1" in note and "no row of it is paired" in note
    (note,) = notes(protein(FIRST, human), protein(SECOND, human), protein("WWWWWW", mouse, "x"))
    assert "entity 3 shares" in note
