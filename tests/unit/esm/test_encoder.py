# SPDX-License-Identifier: Apache-2.0
"""Packing, order, streaming and the heads of the encoder."""

import numpy as np
import pytest

from protenix_ms.config.encoder import EncoderSizes, EncoderWeights
from protenix_ms.errors import CheckpointError, ConfigError, InputError
from protenix_ms.esm import encode, encoder, load_encoder, rule_weights
from protenix_ms.esm.tokens import Packing, pack, tokenize

SIZES = EncoderSizes(3, 32, 2)
WEIGHTS = rule_weights(SIZES, gain=2.0)
SEQUENCES = ["MKTAYIAKQR", "G", "MKTAYIAKQA", "GAV<mask>LIPX" * 5]


def test_tokens():
    assert tokenize("M<mask>LX").tolist() == [0, 20, 32, 4, 24, 2]


@pytest.mark.parametrize("sequence, says", [
    ("AC D", "' ' is not a residue"), ("ACJ", "position 3: 'J'"), ("ac", "use upper case"),
    ("A<cls>", "'<cls>'"), ("A*", "'*'"), ("", "is empty"), ("A<nothing>", "'<nothing>'"),
])
def test_foreign_letters(sequence, says):
    with pytest.raises(InputError, match=says.replace("*", r"\*")):
        tokenize(sequence)


def test_rescaling_counts_masks_of_each_row():
    packing = Packing((tokenize("AC"), tokenize("A<mask>")))
    assert packing.rescaling().tolist() == pytest.approx(
        [0.88] * 4 + [0.88 / 0.75, 0.88 / 0.75, 0, 0.88 / 0.75])
    assert packing.positions.tolist() == [0, 1, 2, 3] * 2


def test_packs_cover_everything_in_order():
    rows = [tokenize("A" * n) for n in (3, 4, 50, 1)]
    packs = list(pack(rows, 12))
    assert [list(places) for places, _ in packs] == [[0, 1], [2], [3]]
    assert list(pack([], 12)) == []


def vectors(model, sequences, **options):
    return list(encode(model, sequences, (0, 1, -1), logits=True, contacts=True, **options))


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        assert a.sequence == b.sequence and a.representations.keys() == b.representations.keys()
        pairs = [(a.logits, b.logits), (a.contacts, b.contacts),
                 *((a.representations[k], b.representations[k]) for k in a.representations)]
        for x, y in pairs:
            np.testing.assert_allclose(x, y, rtol=0, atol=1e-5 * np.abs(y).max())


def test_a_pack_gives_what_each_sequence_gives_alone(monkeypatch):
    model = load_encoder(WEIGHTS)
    packed = vectors(model, SEQUENCES)
    monkeypatch.setattr(encoder, "TOKENS_AT_ONCE", 1)
    assert_same(packed, vectors(model, SEQUENCES))
    assert [e.sequence for e in packed] == SEQUENCES
    assert packed[3].residues(3).shape == (40, 32) and packed[3].contacts.shape == (40, 40)


def test_layers_from_disk_give_the_same_bits(monkeypatch):
    monkeypatch.setattr(encoder, "TOKENS_AT_ONCE", 16)
    reads = []
    weights = EncoderWeights(SIZES, WEIGHTS.names,
                             lambda name: reads.append(name) or WEIGHTS.read(name), "", "")
    streamed = load_encoder(weights, memory=100_000)
    assert not any(name.startswith("layers.") for name in reads)
    for a, b in zip(vectors(load_encoder(WEIGHTS), SEQUENCES), vectors(streamed, SEQUENCES)):
        assert all(np.array_equal(a.representations[k], b.representations[k]) for k in (0, 1, 3))
        assert np.array_equal(a.contacts, b.contacts) and np.array_equal(a.logits, b.logits)
    assert reads.count("layers.0.fc1.weight") == 1  # all sequences go through it together


def test_progress_counts_to_the_end():
    seen = []
    list(encode(load_encoder(WEIGHTS), SEQUENCES, progress=lambda *x: seen.append(x)))
    assert seen[-1] == (3, 3) and len(seen) == 3


def test_what_cannot_be_had():
    model = load_encoder(WEIGHTS)
    with pytest.raises(ConfigError, match="no layer 4; choose among 0 to 3"):
        list(encode(model, ["A"], (4,)))
    plain = EncoderWeights(SIZES, frozenset(n for n in WEIGHTS.names if "head" not in n),
                           WEIGHTS.read, "", "file")
    for asked, says in (({"contacts": True}, "regression"), ({"logits": True}, "lm_head")):
        with pytest.raises(CheckpointError, match=says):
            list(encode(load_encoder(plain), ["A"], **asked))
        with pytest.raises(CheckpointError, match=says):
            plain.require_heads(asked.get("contacts", False), asked.get("logits", False))


def test_token_dropout_is_the_files_choice():
    sizes = EncoderSizes(1, 32, 2, token_dropout=False)
    model = load_encoder(rule_weights(sizes))
    (plain,) = encode(model, ["A<mask>"], (0,))
    np.testing.assert_array_equal(plain.representations[0],
                                  model.embed_tokens.weight.asnumpy()[tokenize("A<mask>")])
