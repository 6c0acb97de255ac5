# SPDX-License-Identifier: Apache-2.0
"""Replaying a recorded training step: losses, labels and every gradient beside upstream's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from prediction_replay import Row, upstream_distances
from training_recording import RecordedStep, part

from protenix_ms.model.diffusion import Conditioning
from protenix_ms.model.protenix import Protenix
from protenix_ms.model.weights import load_weights, parameter_shapes
from protenix_ms.runtime.draws import Draws
from protenix_ms.runtime.trace import listening
from protenix_ms.train.step import StepResult, TrainingStep
from protenix_ms.typing import Array

LOSS, PREDICTION, GRADIENT = 1e-5, 1e-4, 1e-4
ZERO = 1e-6  # of the largest gradient: what is zero in exact arithmetic


def expected_parameters(recording: RecordedStep) -> dict[str, tuple[int, ...]]:
    """List the names and shapes that a checkpoint of the recorded model must have."""
    return parameter_shapes(recording.config)


def build(
    recording: RecordedStep, checkpoint: Iterable[tuple[str, Array]] | None = None
) -> Protenix:
    """Build the recorded model in training mode, with weights by rule or from a checkpoint's
    pairs."""
    model = Protenix(recording.config)
    load_weights(model, recording.weights() if checkpoint is None else checkpoint)
    model.set_train(True)
    return model


class UpstreamStep(TrainingStep):
    """Measures distances as inexactly as upstream, on upstream's own mini-rollout.

    Labels on the edge of a bin depend on the last bit of a coordinate. Our mini-rollout is traced,
    so that it is compared.
    """

    distances = staticmethod(upstream_distances)

    def __init__(self, model: Protenix, recording: RecordedStep) -> None:
        super().__init__(model, recording.training)
        self._recording = recording

    def roll_out(self, conditioning: Conditioning, draws: Draws) -> Array:
        super().roll_out(conditioning, draws)
        return self._recording.outputs["pred/coordinate_mini"]


def run(
    recording: RecordedStep, model: Protenix, step: TrainingStep | None = None
) -> tuple[StepResult, dict[str, Array]]:
    """Run the step; return its result, and what it predicted and permuted on the way.

    Args:
        step: `UpstreamStep` by default.
    """
    step = step or UpstreamStep(model, recording)
    seen, draws = {}, recording.draws()

    def keep(name: str, value: object) -> None:
        if name.startswith(("pred/", "label/")):
            seen[name] = np.asarray(value.asnumpy() if hasattr(value, "asnumpy") else value)

    with listening(keep):
        result = step(recording, recording.step, draws)
    draws.require_all_used()
    return result, seen


def vanishes(name: str) -> bool:
    """Tell whether a parameter's gradient is zero in exact arithmetic.

    An offset that every key of a softmax shares: of the norm before a pair bias.
    """
    return name.endswith(("attention_pair_bias.layernorm_z.bias",
                          "msa_pair_weighted_averaging.layernorm_z.bias"))


def compare(
    recording: RecordedStep, result: StepResult, seen: Mapping[str, Array]
) -> list[Row]:
    """Make one row per loss term, prediction, label and gradient."""
    theirs = recording.outputs
    rows = [
        _row(f"loss/{name}", np.array(value), theirs[f"loss/{name}_loss"], LOSS)
        for name, value in result.terms.items()
    ]
    rows.append(_row("loss/loss", np.array(result.loss), theirs["loss/loss"], LOSS))
    rows += [_row(name, value, theirs[name], PREDICTION) for name, value in seen.items()]
    return rows + _gradients(recording, result)


def _gradients(recording: RecordedStep, result: StepResult) -> list[Row]:
    """Return every entry where it is recorded, norms elsewhere."""
    theirs = recording.outputs
    names, norms = theirs["grad_names"].tolist(), theirs["grad_norms"]
    ours = {name: g.asnumpy().astype(np.float64) for name, g in result.gradients.items()}
    total = float(np.sqrt(sum(np.square(g).sum() for g in ours.values())))
    rows = [_row("gradient norm", np.array(total), theirs["grad_total_norm"], GRADIENT)]
    full = part(theirs, "grad_clipped")
    clip = min(1.0, recording.training.grad_clip_norm / (total + 1e-6)) if full else 1.0
    scale = max(np.abs(g).max() for g in full.values()) if full else norms.max()
    for name, norm in zip(names, norms, strict=True):
        mine = ours.get(name, np.zeros(1)) * clip
        reference = full[name] if full else np.array([norm])
        mine = mine if full else np.sqrt(np.square(mine).sum(keepdims=True))
        if vanishes(name) or not np.abs(reference).max():
            difference = float(np.abs(mine - reference).max())
            rows.append(Row(f"gradient/{name}", difference, float(difference / scale),
                            bool(difference <= ZERO * scale), "zero"))
            continue
        rows.append(_row(f"gradient/{name}", mine, reference, GRADIENT))
    return rows


def _row(stage: str, ours: Array, reference: Array, bar: float) -> Row:
    ours, reference = np.squeeze(ours), np.squeeze(reference)
    if ours.shape != reference.shape:
        return Row(stage, np.inf, np.inf, False, f"shape {ours.shape}, not {reference.shape}")
    absolute = float(np.abs(ours.astype(np.float64) - reference).max(initial=0))
    largest = max(float(np.abs(reference).max(initial=0)), 1e-30)
    relative = absolute / largest if absolute else 0.0
    return Row(stage, absolute, relative, relative <= bar)
