# SPDX-License-Identifier: Apache-2.0
"""Whatever bytes, JSON values or mutations a reader meets: a result or an `InputError`."""

import json
import tempfile
from pathlib import Path

import numpy as np
from bad_input import NAG, QUERY, SEQUENCE, alphafold3, bond, contact, job, modified, protein
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from template_text import helix

from protenix_ms.errors import InputError
from protenix_ms.io import read_jobs
from protenix_ms.io.a3m import check_alignment, encode_rows, parse_a3m
from protenix_ms.io.template_hits import read_hits
from protenix_ms.job import Alignment, Job

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

SEEDS = [
    job(protein(unpairedMsa=QUERY, id=["A"]), NAG, {"ion": {"ion": "MG", "count": 2}}),
    job(protein(pairedMsaPath="x"), {"rnaSequence": {"sequence": "ACGU"}}, modelSeeds=[1]),
    bond(copy1=1, copy2=1),
    contact(atom1="CA"),
    modified(ptmType="CCD_SEP", ptmPosition=3),
    alphafold3({"protein": {"id": ["A", "B"], "sequence": SEQUENCE, "unpairedMsa": QUERY}}),
    job(protein(sequence="MKUB"), NAG, dialect="alphafoldserver", version=1, modelSeeds=[]),
    alphafold3({"rna": {"id": "R", "sequence": "ACGT"}}, {"rna": {"id": "S", "sequence": "ACGT"}}),
    job(protein(templates=[{"mmcif": helix("MKT"), "chain": "a", "queryIndices": [0, 1],
                            "templateIndices": [1, 2]}])),
    f">A|protein\n{SEQUENCE}\n>B|smiles\nCC(=O)O\n",
    f">protein|name=A\n{SEQUENCE}\n>ccd|name=L\nATP\n",
    f">sp|P1|X\n{SEQUENCE}:{SEQUENCE}\n",
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 10**19)
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["A", "CCD_ATP", "CCD_", "FILE_", "FILE_.", "1", "²", SEQUENCE, "\ud800"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


def _read(content, suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input{suffix}"
        path.write_bytes(content)
        try:
            jobs = read_jobs(path)
        except InputError as error:
            assert "\n" not in str(error)
            return
        assert jobs and all(isinstance(read, Job) and read.entities for read in jobs)


@FUZZ
@given(st.binary(max_size=200), st.sampled_from([".json", ".fasta", ".txt"]))
def test_any_bytes(content, suffix):
    _read(content, suffix)


@FUZZ
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 999), st.integers(0, 3), st.binary(max_size=4)), max_size=4),
    st.sampled_from([".json", ".fasta", ".txt"]),
)
def test_mutated_bytes(seed, edits, suffix):
    """Valid inputs with bytes replaced, inserted and cut."""
    content = seed.encode()
    for place, cut, inserted in edits:
        place %= len(content) + 1
        content = content[:place] + inserted + content[place + cut :]
    _read(content, suffix)


def _paths(value, path=()):
    yield path
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(inner, (*path, key))


def _replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


@FUZZ
@given(st.data())
def test_any_value_at_any_place_of_a_job(data):
    document = json.loads(data.draw(st.sampled_from(SEEDS[:9])))
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(list(_paths(document))))
        document = _replaced(document, path, data.draw(VALUES))
    _read(json.dumps(document).encode(), ".json")


@FUZZ
@given(st.text(alphabet=">#\nMKTAYIbcd-.*?é \t\r\x0b\x85", max_size=120))
def test_any_alignment(text):
    text = QUERY + text
    try:
        check_alignment(Alignment(text, "x"), SEQUENCE, "protein", "here")
    except InputError:
        return
    rows, deletions = encode_rows(parse_a3m(text).rows, "protein")
    assert rows.shape == deletions.shape and rows.shape[1] == len(SEQUENCE)
    assert rows.min() >= 0 and rows.max() <= 31 and deletions.min() >= 0


@FUZZ
@given(
    st.lists(
        st.lists(
            st.tuples(st.text("abc.", max_size=3), st.sampled_from("MKAX-")), min_size=5, max_size=5
        ),
        min_size=1,
        max_size=6,
    ),
    st.text("abc", max_size=2),
)
def test_deletions_count_insertions_before_each_column(rows, tail):
    """The definition, spelled out: an insertion belongs to the column after it."""
    text = ["".join(a + b for a, b in row) + tail for row in rows]
    encoded, deletions = encode_rows([row.encode() for row in text], "protein")
    np.testing.assert_array_equal(deletions, [[len(a) for a, _ in row] for row in rows])
    letters = {"M": 12, "K": 11, "A": 0, "X": 20, "-": 31}
    np.testing.assert_array_equal(encoded, [[letters[b] for _, b in row] for row in rows])


HITS = [
    (".a3m", ">1abc_A/3-6 [subseq from] mol:protein length:9  X\nMk-\nTA\n" * 2),
    (".hhr", "Query q\nNo 1\n>1abc_A X\nProbab=9 Aligned_cols=3 Sum_probs=2.5\n\n"
             "Q q                 1 MKT    3 (9)\nT 1abc_A            4 MRT    6 (9)\n"),
]


@FUZZ
@given(st.sampled_from(HITS), st.integers(0, 200), st.integers(0, 9),
       st.binary(max_size=4) | st.sampled_from([b"\n", b">", b"No 2\n", b"-", b"9" * 40]))
def test_damaged_template_hits(hits, start, length, inserted):
    suffix, text = hits
    content = text.encode()
    start %= len(content)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"hits{suffix}"
        path.write_bytes(content[:start] + inserted + content[start + length:])
        try:
            listed = read_hits(path)
        except InputError as error:
            assert "\n" not in str(error)
            return
    for hit in listed.hits:
        assert len(hit.query_positions) == len(hit.hit_positions)
