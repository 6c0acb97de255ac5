# SPDX-License-Identifier: Apache-2.0
"""Replaying a recording of ESM-2: our representations, logits and contacts beside fair-esm's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from prediction_replay import Row

from protenix_ms.config.encoder import EncoderSizes, EncoderWeights
from protenix_ms.esm import Encoding, encode, load_encoder, rule_weights
from protenix_ms.typing import Array

FLAT, SHARP = 1e-5, 3e-5  # relative to the largest magnitude: gain 0.5, and above it
FLOOR = 2e-6  # beside float64, where upstream is nearer
EXACT = {"rep_last": "rep/{layers}", "logits": "logits", "contacts": "contacts"}


@dataclass(frozen=True)
class EncoderRecording:
    """A recorded batch: sequences, how the weights were made, and what fair-esm said."""

    meta: dict
    outputs: dict[str, Array]

    @classmethod
    def read(cls, folder: Path) -> EncoderRecording:
        """Read a folder."""
        with np.load(folder / "outputs.npz") as file:
            outputs = dict(file)
        return cls(json.loads((folder / "meta.json").read_text(encoding="utf-8")), outputs)

    def weights(self) -> EncoderWeights:
        """Make the weights by rule, with the recorded rotary frequencies."""
        meta, frequencies = self.meta, self.outputs["inv_freq"]
        sizes = EncoderSizes(meta["layers"], meta["dim"], meta["heads"])
        rule = rule_weights(sizes, gain=meta["gain"])
        layers = [f"layers.{i}.self_attn.rot_emb.inv_freq" for i in range(sizes.layers)]
        return EncoderWeights(
            sizes, rule.names.union(layers),
            lambda name: frequencies if name in layers else rule.read(name), "", "recording")


def run(recording: EncoderRecording, memory: int | None = None) -> list[Encoding]:
    """Encode the recorded sequences with everything that can be asked for."""
    encoder = load_encoder(recording.weights(), memory)
    layers = range(encoder.sizes.layers + 1)
    return list(encode(encoder, recording.meta["sequences"], layers, contacts=True, logits=True))


def stages(recording: EncoderRecording, encodings: list[Encoding]) -> dict[str, list[Array]]:
    """Name our arrays as the recording does, one of each sequence."""
    step, ours = recording.meta["contact_step"], {}
    for number in encodings[0].representations:
        ours[f"rep/{number}"] = [e.representations[number] for e in encodings]
    ours["logits"] = [e.logits for e in encodings]
    ours["contacts"] = [e.contacts[::step, ::step] for e in encodings]
    return ours


def compare(recording: EncoderRecording, encodings: list[Encoding]) -> list[Row]:
    """One row for each recorded stage, and one for each that is recorded in float64 too."""
    ours, outputs, meta = stages(recording, encodings), recording.outputs, recording.meta
    flat = meta["gain"] <= 0.5
    rows = [_row(key, ours[key], outputs[key], FLAT if flat else SHARP, "")
            for key in ours if key in outputs]
    for name, distance in meta["fp32_against_fp64"].items():
        key = EXACT[name].format(layers=meta["layers"])
        if f"fp64/{name}" in outputs:
            bar = max(2 * distance, FLOOR) if not flat else FLAT
            rows.append(_row(key, ours[key], outputs[f"fp64/{name}"], bar,
                             f"against float64, upstream {distance:.1e}"))
    return rows


def _row(key: str, ours: list[Array], theirs: Array, bar: float, remark: str) -> Row:
    """Compare what is no padding: the rows, or the block, of each sequence's own length."""
    absolute, largest = 0.0, 0.0
    for mine, batch in zip(ours, theirs, strict=True):
        block = batch[tuple(slice(n) for n in mine.shape)]
        absolute = max(absolute, float(np.abs(mine.astype(np.float64) - block).max()))
        largest = max(largest, float(np.abs(block).max()))
    relative = absolute / max(largest, 1e-30)
    return Row(key, absolute, relative, relative <= bar, remark)
