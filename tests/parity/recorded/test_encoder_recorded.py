# SPDX-License-Identifier: Apache-2.0
"""Recordings of fair-esm, and its own files read by ours."""

import numpy as np
import pytest
from encoder_replay import EncoderRecording, compare, run

from protenix_ms.esm import encode, load_encoder
from protenix_ms.predict.encoders import open_weights

CASES = ("odd_batch", "small_masked", "small_halffreq", "small_sharp", "8M_batch_sharp")
FILES = ("esm2_tiny_rule.pt", "esm2_tiny_rule_half.pt", "hf_tiny_rule")


@pytest.mark.parametrize("case", CASES)
def test_recording(golden, case):
    folder = golden / "esm" / case
    if not folder.is_dir():
        pytest.skip(f"{case} is not in the recordings at {golden}")
    recording = EncoderRecording.read(folder)
    rows = compare(recording, run(recording))
    assert len(rows) >= 7
    assert not [row for row in rows if not row.ok]


def test_recomputed_frequencies_would_show(golden):
    folder = golden / "esm" / "small_halffreq"
    if not folder.is_dir():
        pytest.skip(f"small_halffreq is not in the recordings at {golden}")
    recording = EncoderRecording.read(folder)
    recording.outputs["inv_freq"] = recording.outputs["inv_freq"] * np.float32(1 + 3e-4)
    assert any(row.relative > 1e-3 for row in compare(recording, run(recording)))


@pytest.mark.parametrize("name", FILES)
def test_file(golden, name):
    """fair-esm and transformers gave the same numbers for these files."""
    path = golden / "esm" / name
    if not path.exists():
        pytest.skip(f"{name} is not in the recordings at {golden}")
    stem = "esm2_tiny_rule_half" if path.is_dir() else path.stem
    theirs = np.load(golden / "esm" / f"{stem}.outputs.npz")
    lines = (golden / "esm" / "checkpoint.fasta").read_text().split()
    sequences = [line for line in lines if line[0] != ">"]
    weights = open_weights(path)
    layers = range(weights.sizes.layers + 1)
    has_contacts = "contact_head.regression.weight" in weights.names
    encodings = list(encode(load_encoder(weights), sequences, layers, has_contacts, True))
    for i, ours in enumerate(encodings):
        pairs = {f"rep/{k}": ours.representations[k] for k in layers} | {"logits": ours.logits}
        pairs |= {"contacts": ours.contacts} if has_contacts else {}
        for key, mine in pairs.items():
            wanted = theirs[key][i][tuple(slice(n) for n in mine.shape)]
            assert np.abs(mine - wanted).max() <= 3e-5 * np.abs(theirs[key][i]).max(), key
