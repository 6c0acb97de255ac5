# SPDX-License-Identifier: Apache-2.0
"""Scores of annotations beside CAFA's own evaluator, which runs as a program."""

import csv
import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from protenix_ms.io.vocabulary import build_vocabulary
from protenix_ms.metrics.annotation import average_precision, score_annotations

TERMS = 30


def ontology(rng):
    """A random ontology of two namespaces: each term has up to two earlier parents."""
    lines = []
    for i in range(TERMS):
        space = i % 2
        earlier = [j for j in range(i) if j % 2 == space]
        parents = rng.choice(earlier, min(len(earlier), 1 + int(rng.random() < 0.3)),
                             replace=False) if earlier else []
        lines += ["[Term]", f"id: T:{i:04}", f"name: term {i}", f"namespace: space{space}"]
        lines += [f"is_a: T:{j:04} ! x" for j in parents]
        lines.append("")
    return "\n".join(lines)


@pytest.mark.skipif(importlib.util.find_spec("cafaeval") is None,
                    reason="this machine has no cafaeval")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_equal_to_cafas_evaluator(seed, tmp_path):
    rng = np.random.default_rng(seed)
    (tmp_path / "terms.obo").write_text(ontology(rng))
    names = [f"P{i}" for i in range(40)]
    labels = [tuple(f"T:{t:04}" for t in rng.choice(TERMS, 3, replace=False)) for _ in names]
    vocabulary, _ = build_vocabulary([*labels, [f"T:{i:04}" for i in range(TERMS)]],
                                     tmp_path / "terms.obo", "")
    truth = vocabulary.matrix(labels)
    scores = np.where(rng.random(truth.shape) < 0.4, rng.random(truth.shape).round(3), 0.0)
    scores = np.where(truth & (rng.random(truth.shape) < 0.5), 0.8, scores)
    bits = vocabulary.information(truth)
    (tmp_path / "predictions").mkdir()
    terms = list(vocabulary.terms)
    (tmp_path / "predictions" / "p.tsv").write_text("".join(
        f"{n}\t{t}\t{s}\n" for n, row in zip(names, scores) for t, s in zip(terms, row) if s))
    (tmp_path / "truth.tsv").write_text("".join(
        f"{n}\t{t}\n" for n, mine in zip(names, labels) for t in mine))
    (tmp_path / "information.tsv").write_text("".join(
        f"{t}\t{float(b)!r}\n" for t, b in zip(terms, bits)))
    subprocess.run([sys.executable, "-m", "cafaeval", "terms.obo", "predictions", "truth.tsv",
                    "-ia", "information.tsv", "-no_orphans", "-out_dir", "out", "-threads", "1"],
                   cwd=tmp_path, check=True, capture_output=True)
    best = {measure: {row["ns"]: row for row in csv.DictReader(
        (tmp_path / "out" / f"evaluation_best_{measure}.tsv").open(), delimiter="\t")}
        for measure in ("f", "s")}
    semantic = {}
    for line in csv.DictReader((tmp_path / "out" / "evaluation_all.tsv").open(), delimiter="\t"):
        semantic.setdefault(line["ns"], []).append(float(line["s_w"]))
    propagated = vocabulary.propagate(scores)
    for space in ("space0", "space1"):
        mine = np.array([entry.namespace == space for entry in vocabulary.terms.values()])
        some = truth[:, mine].any(1)
        ours = score_annotations(truth[some], propagated[some], np.where(mine, bits, 0.0),
                                 vocabulary.informative() & mine)
        assert ours.fmax == pytest.approx(float(best["f"][space]["f"]), abs=6e-4)
        assert ours.threshold == pytest.approx(float(best["f"][space]["tau"]), abs=1e-6)
        assert ours.coverage == pytest.approx(float(best["f"][space]["cov_max"]), abs=6e-4)
        assert ours.smin == pytest.approx(min(semantic[space]), abs=6e-4)


def test_perfect_and_empty_predictions():
    truth = np.array([[True, False], [False, True]])
    counted, bits = np.ones(2, bool), np.array([1.0, 2.0])
    best = score_annotations(truth, truth.astype(float), bits, counted)
    assert (best.fmax, best.smin, best.aupr, best.coverage) == (1.0, 0.0, 1.0, 1.0)
    none = score_annotations(truth, np.zeros((2, 2)), bits, counted)
    assert none.fmax == 0 and np.isnan(none.smin) and none.coverage == 0


def test_average_precision_is_that_of_scikit_learn():
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(0)
    truth, scores = rng.random(500) < 0.2, rng.random(500).round(2)  # with ties
    assert average_precision(truth, scores) == pytest.approx(
        average_precision_score(truth, scores), abs=1e-12)
