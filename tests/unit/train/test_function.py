# SPDX-License-Identifier: Apache-2.0
"""A function head learns, resumes with the same bits, and moves only what it may move."""

import numpy as np
import pytest
from mindspore import Tensor

from protenix_ms.config.encoder import EncoderSizes
from protenix_ms.errors import CheckpointError, InputError
from protenix_ms.esm import load_encoder
from protenix_ms.esm.weights import rule_weights
from protenix_ms.function import FunctionHead, HeadSizes
from protenix_ms.function.tuned import ENCODER, TunedEncoder
from protenix_ms.io.vocabulary import Term, Vocabulary
from protenix_ms.predict.function import (
    cosine,
    head_vectors,
    kmer_similarity,
    naive_scores,
    neighbour_scores,
    read_head,
    write_head,
)
from protenix_ms.runtime.policy import Policy, using
from protenix_ms.train.function import (
    STATE,
    Annotated,
    FunctionTrainer,
    HeadTraining,
    binary_cross_entropy,
    predict_scores,
)

WIDTH, HIDDEN, TERMS = 12, 16, 5
SIZES = EncoderSizes(layers=2, width=WIDTH, heads=2)


def annotated(count=40, seed=0):
    rng = np.random.default_rng(seed)
    pooled = rng.normal(size=(count, WIDTH)).astype(np.float32)
    truth = pooled[:, :TERMS] > 0.3
    letters = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 9)) for _ in range(count)]
    return Annotated(letters, pooled, truth)


def trainer(folder, epochs=4, tuned=None, **more):
    config = HeadTraining(epochs=epochs, batch=16, rate=1e-2, unfreeze=int(tuned is not None),
                          **more)
    return FunctionTrainer(FunctionHead(HeadSizes(WIDTH, HIDDEN, TERMS)), config, annotated(),
                           annotated(20, 1), np.ones(TERMS, bool), folder, tuned, "mark")


def test_the_loss_is_binary_cross_entropy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 30, (4, 3)), rng.random((4, 3)) < 0.5
    weight = np.array([1.0, 2.0, 0.5])
    wanted = np.where(y, weight * np.logaddexp(0, -x), np.logaddexp(0, x)).mean()
    tensors = (Tensor(a.astype(np.float32)) for a in (x, y, weight))
    assert float(binary_cross_entropy(*tensors)) == pytest.approx(wanted, rel=1e-6)


def test_the_first_answer_is_the_frequency(tmp_path):
    run = trainer(tmp_path)
    frequency = run.train.truth.mean(0)
    run.head.start_from(run.train.pooled, frequency, np.random.default_rng(0))
    scores = predict_scores(run.head, run.train.pooled)
    np.testing.assert_allclose(scores, np.repeat(frequency[None], 40, 0), atol=1e-6)
    np.testing.assert_array_equal(naive_scores(run.train.truth, 3)[1], frequency)


def test_it_learns_and_resumes_with_the_same_bits(tmp_path):
    lines = []
    whole = trainer(tmp_path / "a", epochs=30)
    best = whole.run(lines.append)
    assert lines[-1]["loss"] < 0.5 * lines[0]["loss"]
    assert whole.best_score == max(line["fmax"] for line in lines) > lines[0]["fmax"] + 0.05
    trainer(tmp_path / "b", epochs=13).run()
    again = trainer(tmp_path / "b", epochs=30).run()
    for name, value in best.items():
        np.testing.assert_array_equal(again[name], value)
    other = trainer(tmp_path / "b", epochs=30)
    other.mark = "another"
    assert other._resume() == 0
    (tmp_path / "b" / STATE).write_bytes(b"cut")
    assert trainer(tmp_path / "b")._resume() == 0


def test_only_the_last_layer_moves(tmp_path):
    weights = rule_weights(SIZES, 3)
    tuned = TunedEncoder(load_encoder(weights), 1)
    run = trainer(tmp_path, epochs=1, tuned=tuned)
    before = {name: p.asnumpy().copy() for name, p in tuned.encoder.parameters_and_names()}
    arrays = run.run()
    moved = {name for name, p in tuned.encoder.parameters_and_names()
             if (p.asnumpy() != before[name]).any()}
    assert moved and all(n.startswith(("layers.1.", "emb_layer_norm_after")) for n in moved)
    assert {n.removeprefix(ENCODER) for n in arrays if n.startswith(ENCODER)} == set(
        tuned.parameters())
    vocabulary = Vocabulary({f"t{i}": Term() for i in range(TERMS)})
    write_head(tmp_path, arrays, vocabulary, weights.digest, 1)
    with using(Policy()):
        vectors = head_vectors(read_head(tmp_path), weights, run.train.sequences[:3], None, None)
    np.testing.assert_allclose(vectors, tuned.pool_all(run.train.sequences[:3]), atol=1e-6)
    with pytest.raises(CheckpointError, match="vectors of another encoder"):
        head_vectors(read_head(tmp_path), rule_weights(SIZES, 4), ["MKV"], None, None)


def test_a_head_of_all_terms_of_go(tmp_path):
    terms = 21_643
    head = FunctionHead(HeadSizes(WIDTH, 8, terms))
    vocabulary = Vocabulary({f"GO:{i:07}": Term(parents=(f"GO:{i // 2:07}",) if i else ())
                             for i in range(terms)})
    arrays = {name: p.asnumpy() for name, p in head.parameters_and_names()}
    write_head(tmp_path, arrays, vocabulary, "digest")
    trained = read_head(tmp_path)
    scores = vocabulary.propagate(predict_scores(trained.head, annotated(3).pooled))
    assert scores.shape == (3, terms) and list(trained.vocabulary.terms) == list(vocabulary.terms)
    children = np.arange(1, terms)
    assert (scores[:, children // 2] >= scores[:, children]).all()


def test_damaged_runs_are_refused(tmp_path):
    vocabulary = Vocabulary({f"t{i}": Term() for i in range(TERMS)})
    head = FunctionHead(HeadSizes(WIDTH, HIDDEN, TERMS))
    arrays = {name: p.asnumpy() for name, p in head.parameters_and_names()}
    write_head(tmp_path, arrays, vocabulary, "digest")
    (tmp_path / "vocabulary.tsv").write_text(Vocabulary({"t0": Term()}).text())
    with pytest.raises(CheckpointError, match="not the head's: 1 terms, the head has 5"):
        read_head(tmp_path)
    swapped = Vocabulary({f"t{i}": Term() for i in (1, 0, 2, 3, 4)})
    (tmp_path / "vocabulary.tsv").write_text(swapped.text())
    with pytest.raises(CheckpointError, match="other terms or another order"):
        read_head(tmp_path)
    (tmp_path / "head.safetensors").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match="this is no head"):
        read_head(tmp_path)


def test_neighbours():
    truth = np.array([[True, False], [False, True]])
    near = cosine(np.array([[1.0, 0.1], [0.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert near.argmax(1).tolist() == [0, 1]
    assert neighbour_scores(near, truth)[0].argmax() == 0
    alike = kmer_similarity(["ACDEF", "MMMMM", "AC"], ["ACDEF", "CDEFG"])
    assert alike[0] == pytest.approx([1.0, 2 / 3]) and not alike[1:].any()


def test_a_rate_that_explodes(tmp_path):
    run = trainer(tmp_path)
    run.train.pooled[0] = np.inf
    with pytest.raises(InputError, match="loss is not finite"):
        run.run()
