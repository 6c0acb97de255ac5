# SPDX-License-Identifier: Apache-2.0
"""Pair alignments beside those that Kalign 3.3.5 made, and their properties."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from protenix_ms.constants.substitution import (
    END_GAP_EXTEND,
    GAP_EXTEND,
    GAP_OPEN,
    SUBSTITUTION,
    SUBSTITUTION_INDEX,
)
from protenix_ms.features.template_alignment import align_pair


def matches(query: str, target: str) -> list[int]:
    """The target residue beside every query residue in two aligned rows."""
    places = np.cumsum([letter != "-" for letter in target]) - 1
    return [int(place) if other != "-" else -1
            for letter, other, place in zip(query, target, places) if letter != "-"]


def score(query: str, target: str, aligned: np.ndarray) -> float:
    """Score of an alignment: substitutions less the costs of inner gaps and end gaps."""
    rows = [i for i, j in enumerate(aligned) if j >= 0]
    total = sum(SUBSTITUTION[SUBSTITUTION_INDEX[query[i]], SUBSTITUTION_INDEX[target[aligned[i]]]]
                for i in rows)
    for places, size in ((rows, len(query)), ([int(aligned[i]) for i in rows], len(target))):
        inner = np.diff(places) - 1
        total -= sum(2 * GAP_OPEN + GAP_EXTEND * (gap - 1) for gap in inner[inner > 0])
        total -= sum(GAP_OPEN + END_GAP_EXTEND * gap
                     for gap in (places[0], size - 1 - places[-1]) if gap)
    return float(total)


@pytest.fixture(scope="module")
def pairs(golden):
    path = golden / "features" / "kalign_pairs.json"
    if not path.is_file():
        pytest.skip(f"no recording of Kalign at {golden}: set PROTENIX_MS_GOLDEN")
    return json.loads(path.read_text())


def test_every_recorded_alignment_is_the_same(pairs):
    assert len(pairs) == 26
    for pair in pairs:
        query, target = pair["query_sequence"], pair["target_sequence"]
        expected = matches(pair["query_aligned"], pair["target_aligned"])
        ours = align_pair(query, target)
        assert ours.tolist() == expected, (pair["query"], pair["target"])
        assert score(query, target, ours) == score(query, target, np.array(expected))


def test_score_is_that_of_biopython(pairs):
    from Bio.Align import PairwiseAligner, substitution_matrices

    letters = "".join(SUBSTITUTION_INDEX)
    aligner = PairwiseAligner(
        mode="global", open_internal_gap_score=-2 * GAP_OPEN, extend_internal_gap_score=-GAP_EXTEND,
        open_end_gap_score=-GAP_OPEN - END_GAP_EXTEND, extend_end_gap_score=-END_GAP_EXTEND,
        substitution_matrix=substitution_matrices.Array(letters, 2, SUBSTITUTION))
    for pair in pairs:
        query, target = pair["query_sequence"], pair["target_sequence"]
        assert score(query, target, align_pair(query, target)) == aligner.score(query, target)


def test_equal_sequences_and_letters_without_a_score():
    assert align_pair("MKTAYIAK", "MKTAYIAK").tolist() == list(range(8))
    assert (align_pair("MKTAYIAKOU", "MKTAYIAKXX") == align_pair("MKTAYIAKXX", "MKTAYIAKXX")).all()


@pytest.mark.parametrize("short, whole, first", [("KTAYIAKQ", "GGMKTAYIAKQRWW", 3)])
def test_a_piece_lies_on_its_place(short, whole, first):
    assert align_pair(short, whole).tolist() == list(range(first, first + len(short)))
    back = align_pair(whole, short)
    assert back[first:first + len(short)].tolist() == list(range(len(short)))
    assert (back >= 0).sum() == len(short)


@pytest.mark.parametrize("seed", range(12))
def test_ties_fall_as_in_the_program(seed, tmp_path):
    """Few letters give many optimal alignments; rows and columns of equal length as well."""
    program = shutil.which("kalign")
    version = program and subprocess.run([program, "--version"], capture_output=True, text=True)
    if not version or "3.3.5" not in version.stdout + version.stderr:
        pytest.skip("this machine has no kalign 3.3.5")
    rng = np.random.default_rng(seed)
    sizes = rng.integers(6, 90, 2) if seed % 3 else [40, 40]
    query, target = ("".join(rng.choice(list("LKDEWHF"), n)) for n in sizes)
    (tmp_path / "in.fa").write_text(f">q\n{query}\n>t\n{target}\n")
    subprocess.run([program, "-i", "in.fa", "-o", "out.fa", "-format", "fasta"], cwd=tmp_path,
                   check=True, capture_output=True)
    rows = (tmp_path / "out.fa").read_text().split(">")[1:]
    expected = matches(*("".join(row.split("\n")[1:]) for row in rows))
    assert align_pair(query, target).tolist() == expected
