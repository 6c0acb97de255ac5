# SPDX-License-Identifier: Apache-2.0
"""Terms and labels: what implies what, and tables that cannot be used."""

import numpy as np
import pytest

from protenix_ms.errors import InputError
from protenix_ms.io.annotations import join_labels, prediction_lines, read_labels
from protenix_ms.io.protein_sequences import ProteinSequence
from protenix_ms.io.vocabulary import build_vocabulary, read_obo, read_vocabulary

OBO = """format-version: 1.2

[Term]
id: T:1
name: root
namespace: process

[Term]
id: T:2
name: middle
namespace: process
alt_id: T:22
is_a: T:1 ! root

[Term]
id: T:3
name: leaf: with a colon
namespace: process
is_a: T:2 ! middle
relationship: part_of T:9 ! elsewhere
relationship: regulates T:1 ! root

[Term]
id: T:4
namespace: process
relationship: part_of T:2 ! middle

[Term]
id: T:5
namespace: process
is_obsolete: true

[Term]
id: T:9
namespace: place

[Typedef]
id: part_of
"""


@pytest.fixture(name="obo")
def fixture_obo(tmp_path):
    path = tmp_path / "go.obo"
    path.write_text(OBO)
    return path


def test_an_ontology_is_read(obo):
    terms, renamed = read_obo(obo)
    assert list(terms) == ["T:1", "T:2", "T:3", "T:4", "T:9"]
    assert terms["T:3"].parents == ("T:2",) and terms["T:3"].name == "leaf: with a colon"
    assert terms["T:4"].parents == ("T:2",) and renamed == {"T:22": "T:2"}


def test_ancestors_follow(obo):
    vocabulary, renamed = build_vocabulary([("T:3",), ("T:22",)], obo, "labels.tsv")
    assert list(vocabulary.terms) == ["T:1", "T:2", "T:3"] and renamed == {"T:22": "T:2"}
    truth = vocabulary.matrix([("T:3",), ("T:2",), ()])
    assert truth.tolist() == [[True] * 3, [True, True, False], [False] * 3]
    scores = vocabulary.propagate(np.array([[0.1, 0.2, 0.9], [0.5, 0.2, 0.1]]))
    assert scores.tolist() == [[0.9, 0.9, 0.9], [0.5, 0.2, 0.1]]
    assert vocabulary.informative().tolist() == [False, True, True]
    # of the three proteins two have the root; both have the middle, one of them the leaf
    assert vocabulary.information(truth) == pytest.approx([np.log2(1.5), 0.0, 1.0])


def test_classes_of_ec_numbers():
    vocabulary, _ = build_vocabulary([("3.2.2.9",), ("3.2.2.-", "1.1.1.n1")], "ec", "labels.tsv")
    assert list(vocabulary.terms) == ["1.-.-.-", "1.1.-.-", "1.1.1.-", "1.1.1.n1", "3.-.-.-",
                                      "3.2.-.-", "3.2.2.-", "3.2.2.9"]
    assert vocabulary.matrix([("3.2.2.9",)])[0].tolist() == [False] * 4 + [True] * 4
    assert vocabulary.informative().all()
    with pytest.raises(InputError, match="'3.2' is no EC number"):
        build_vocabulary([("3.2",)], "ec", "labels.tsv")


def test_a_vocabulary_is_read_back(tmp_path, obo):
    vocabulary, _ = build_vocabulary([("T:3",), ("T:4",)], obo, "labels.tsv")
    path = tmp_path / "vocabulary.tsv"
    path.write_text(vocabulary.text())
    again = read_vocabulary(path)
    assert again.terms == vocabulary.terms and again.order == vocabulary.order


HEAD = "term\tname\tnamespace\tparents\n"


@pytest.mark.parametrize(("text", "words"), [
    ("a\tb\n", "no table with the columns term, name, namespace, parents"),
    (HEAD + "a\t\t\n", "line 2: this line has 3 columns instead of 4"),
    (HEAD + "a\t\t\t\na\t\t\t\n", "line 3: the term 'a' stands there twice"),
    (HEAD + "a\t\t\tb\n", "a has the parent b, which is no term"),
    (HEAD + "a\t\t\tb\nb\t\t\tc\nc\t\t\ta\n", "in a circle: "),
    (HEAD + "a\t\t\ta\n", "in a circle: a -> a"),
], ids=["columns", "short", "twice", "parent", "circle", "itself"])
def test_other_tables_are_refused(text, words, tmp_path):
    path = tmp_path / "vocabulary.tsv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_vocabulary(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_a_label_beyond_the_ontology(obo, tmp_path):
    for label in ("T:5", "T:77"):
        with pytest.raises(InputError, match=f"the label '{label}' is not a term"):
            build_vocabulary([(label,)], obo, "labels.tsv")
    empty = tmp_path / "empty.obo"
    empty.write_text("format-version: 1.2\n")
    with pytest.raises(InputError, match="no terms"):
        read_obo(empty)
    empty.write_text("[Term]\nname: x\n")
    with pytest.raises(InputError, match="stanza 1: a term has no identifier"):
        read_obo(empty)


def test_labels_of_a_split(tmp_path):
    path = tmp_path / "labels.tsv"
    path.write_text("# name\tsplit\tterms\nA\ttrain\tx,y\n\nB\ttest\tz\nA\ttrain\tw, x\n")
    assert read_labels(path, "train") == {"A": ("x", "y", "w")}
    assert read_labels(path) == {"A": ("x", "y", "w"), "B": ("z",)}
    with pytest.raises(InputError, match="no labels of the split 'valid'; its splits: train, test"):
        read_labels(path, "valid")
    path.write_text("A x\n")
    with pytest.raises(InputError, match="line 1: this line is not name, terms"):
        read_labels(path)
    path.write_text("# nothing\n")
    with pytest.raises(InputError, match="there are no labels"):
        read_labels(path)


def test_sequences_and_labels_belong_together():
    proteins = [ProteinSequence("A", "MK"), ProteinSequence("B", "MK")]
    labels = {"A": ("x",)}
    assert [p.protein.name for p in join_labels(proteins, labels, "train", "l")] == ["A"]
    with pytest.raises(InputError, match="1 of 2 sequences have no labels, such as B"):
        join_labels(proteins, labels, None, "l")
    with pytest.raises(InputError, match="1 of 2 labelled proteins have no sequence, such as C"):
        join_labels(proteins, labels | {"C": ("x",)}, "train", "l")


def test_predictions_in_cafas_format():
    lines = list(prediction_lines(["P"], ["a", "b", "c"], np.array([[0.2, 0.9, 0.001]])))
    assert lines == ["P\tb\t0.9000\n", "P\ta\t0.2000\n"]
