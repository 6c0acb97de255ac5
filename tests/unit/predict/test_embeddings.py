# SPDX-License-Identifier: Apache-2.0
"""Vectors on disk, and on their way to a predictor's tokens."""

from zlib import crc32

import numpy as np
import pytest

from protenix_ms.chem.ccd import SHIPPED, ComponentDictionary
from protenix_ms.config import get_config
from protenix_ms.config.encoder import EncoderSizes
from protenix_ms.errors import CheckpointError, ConfigError, ResourceError
from protenix_ms.esm import encode, load_encoder, rule_weights
from protenix_ms.features.build import build
from protenix_ms.features.optional import embedding_features
from protenix_ms.io import read_jobs
from protenix_ms.job import Job, Polymer
from protenix_ms.predict import embeddings, language_model
from protenix_ms.predict.embedding_files import embedding_path
from protenix_ms.predict.embeddings import EmbeddingStore, Wish, read_arrays, write_one_file
from protenix_ms.predict.language_model import LanguageModel, choose_language_model

WEIGHTS = rule_weights(EncoderSizes(2, 24, 2))
ESM = "protenix_mini_esm_v0.5.0"


def test_files_hold_what_the_encoder_says(tmp_path):
    wish = Wish((1, -1), "both", contacts=True, logits=True)
    store = EmbeddingStore(tmp_path, WEIGHTS, wish)
    count = store.fill(["MKT", "GAVL", "MKT"])
    assert (count.encoded, count.residues, count.there) == (2, 7, 0)
    (truth,) = encode(load_encoder(WEIGHTS), ["GAVL"], (1, 2), True, True)
    arrays = read_arrays(store.path("GAVL"))
    assert arrays.keys() == {"layer_1", "layer_2", "mean_1", "mean_2", "logits", "contacts"}
    for name, exact in (("layer_2", truth.residues(2)), ("mean_1", truth.mean(1)),
                        ("logits", truth.logits[1:-1]), ("contacts", truth.contacts)):
        np.testing.assert_allclose(arrays[name], exact, atol=1e-5)
    write_one_file(tmp_path / "all.safetensors", {"a": store.path("MKT"), "b": store.path("GAVL")})
    joined = read_arrays(tmp_path / "all.safetensors")
    np.testing.assert_array_equal(joined["b/layer_2"], arrays["layer_2"])
    assert len(joined) == 12


def test_nothing_is_encoded_twice(tmp_path, monkeypatch):
    store = EmbeddingStore(tmp_path, WEIGHTS, Wish())
    store.fill(["MKT", "GAVL"])
    before = store.path("MKT").read_bytes()
    monkeypatch.setattr(embeddings, "load_encoder", lambda *_: pytest.fail("loaded"))
    assert store.fill(["MKT", "GAVL"]).there == 2
    monkeypatch.undo()
    store.path("MKT").write_bytes(before[:-5])  # cut: made again, the same bytes
    assert store.fill(["MKT", "GAVL"]).encoded == 1
    assert store.path("MKT").read_bytes() == before


@pytest.mark.parametrize("wish, weights", [
    (Wish(store="fp16"), WEIGHTS), (Wish((0,)), WEIGHTS), (Wish(pool="mean"), WEIGHTS),
    (Wish(), rule_weights(EncoderSizes(2, 24, 2), seed=1)),
], ids=["store", "layer", "pool", "weights"])
def test_files_of_another_wish_are_made_again(tmp_path, wish, weights):
    EmbeddingStore(tmp_path, WEIGHTS, Wish()).fill(["MKT"])
    other = EmbeddingStore(tmp_path, weights, wish)
    assert not other.holds("MKT") and other.fill(["MKT"]).encoded == 1 and other.holds("MKT")


def test_a_sequence_over_memory_is_refused_with_both_numbers(tmp_path):
    with pytest.raises(ResourceError, match=r"longest sequence \(90000 residues\).* GB .* GB are"):
        EmbeddingStore(tmp_path, WEIGHTS, Wish(contacts=True)).fill(["A" * 90000], memory=10**9)


def test_placing_equals_upstreams(golden):
    """A modified residue is many tokens of one vector; DNA, RNA and ligands have zeros."""
    recorded = golden / "tiny" / "protenix_mini_ism_v0.5.0" / "features.npz"
    if not recorded.is_file() or not SHIPPED.is_file():
        pytest.skip(f"no recording of the ism variant at {golden}")
    job = read_jobs(golden / "inputs" / "fixture1.json")[0]
    tokens = build(job, ComponentDictionary.load(), np.random.default_rng(0)).tokens
    theirs = np.load(recorded)["esm_token_embedding"]
    vectors, width = {}, theirs.shape[1]
    for entity in job.entities:
        if isinstance(entity, Polymer):
            rows = np.random.RandomState(crc32(entity.sequence.encode()))
            shape = (len(entity.sequence), width)
            vectors[entity.sequence] = rows.standard_normal(shape).astype(np.float32)
    ours = embedding_features(job, tokens, vectors, width)["esm_token_embedding"]
    np.testing.assert_array_equal(ours, theirs)


def job(*sequences):
    return Job("j", tuple(Polymer("protein", s) for s in sequences))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(language_model, "embeddings_dir", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_files_first_then_the_cache_then_the_encoder(tmp_path, cache, monkeypatch):
    mine = tmp_path / "mine"
    EmbeddingStore(mine, rule_weights(WEIGHTS.sizes, seed=5), Wish()).fill(["MKT"])
    source = LanguageModel(24, WEIGHTS, mine)
    jobs = [job("MKT", "GAVL")]
    assert source.prepare(jobs) == (jobs, [])
    assert [p.name for p in cache.rglob("*.safetensors")] == [embedding_path(mine, "GAVL").name]
    monkeypatch.setattr(embeddings, "load_encoder", lambda *_: pytest.fail("loaded"))
    assert source.prepare(jobs) == (jobs, [])
    first = source.content(jobs[0])
    embedding_path(mine, "AAAA").touch()  # of no protein of the job
    assert source.content(jobs[0]) == first and first[1] == WEIGHTS.digest
    embedding_path(mine, "MKT").unlink()
    assert source.content(jobs[0]) != first


def test_a_job_without_vectors_is_refused_and_others_go_on(tmp_path):
    EmbeddingStore(tmp_path, WEIGHTS, Wish()).fill(["MKT"])
    ready, refused = LanguageModel(24, None, tmp_path).prepare([job("MKT"), job("MKT", "GAVL")])
    assert ready == [job("MKT")]
    assert "job j: " in str(refused[0]) and "no vectors of GAVL" in str(refused[0])
    assert "j_2.pt" in str(refused[0]) and "--allow-zero-embeddings" in str(refused[0])


def test_zeros_only_where_they_are_allowed_and_said(tmp_path):
    np.save(tmp_path / "j_1.npy", np.ones((3, 24)))
    jobs = [job("MKT", "GAVL")]
    source = LanguageModel(24, None, tmp_path, zeros=True)
    assert source.prepare(jobs) == (jobs, [])
    assert (source._read("MKT", ["j_1"]) == 1).all() and not source._read("GAVL", ["j_2"]).any()
    named, zero = source.notes(jobs[0])
    assert named.startswith("entity 1: vectors of j_1.npy, ") and "cannot be checked" in named
    assert zero.startswith("entity 2: GAVL... has no vectors") and "zeros" in zero
    assert source.content(jobs[0])[1] == "zeros"


def test_choices(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("PROTENIX_MS_HOME", str(tmp_path))
    config = get_config(ESM, {"esm.layers": 1})
    assert choose_language_model(config, None, None, 3).weights.sizes.layers == 1
    assert choose_language_model(config, None, tmp_path, None).weights is None
    assert choose_language_model(config, None, None, 3, zeros=True).weights is None
    with pytest.raises(ConfigError, match="leave out one of them"):
        choose_language_model(config, "esm2_t36_3B_UR50D", None, None, zeros=True)
    with pytest.raises(CheckpointError, match="expected esm2_t36_3B_UR50D.safetensors"):
        choose_language_model(config, None, None, None)
    other = get_config("protenix_tiny_default_v0.5.0")
    assert choose_language_model(other, None, None, None) is None
    with pytest.raises(ConfigError, match="reads no language model"):
        choose_language_model(other, "esm2_t36_3B_UR50D", None, None)
    with pytest.raises(ConfigError, match="^--allow-zero-embeddings: "):
        choose_language_model(other, None, None, None, zeros=True)
