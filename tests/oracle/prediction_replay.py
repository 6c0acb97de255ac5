# SPDX-License-Identifier: Apache-2.0
"""Replaying a recording: our stages beside upstream's, with the same weights and draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from mindspore import Tensor
from prediction_recording import Recording

from protenix_ms.geometry.distances import point_distances
from protenix_ms.metrics.confidence import Layout, summarize
from protenix_ms.model.confidence_features import ConfidenceFeatures
from protenix_ms.model.protenix import ModelInputs, Prediction, Protenix, Trunk
from protenix_ms.model.weights import load_weights, parameter_shapes
from protenix_ms.runtime.trace import listening
from protenix_ms.typing import Array, Float

SINGLE, STACK = 1e-5, 1e-4
COORDINATES = 1e-3  # angstrom
DISTRIBUTIONS = 5e-3  # PAE and PDE beside upstream's float32, whose distances are inexact
INEXACT = "replay/inexact/"  # prefix of what upstream's own distances give
MODULES = ("act/input_embedder", "act/constraint_embedder", "act/z_init")  # no deep stack
MM_POINTS = 25  # up to here `torch.cdist` is exact

# Recorded, but not part of the contract: parts that we compute in another arrangement.
OPTIONAL = ("act/linear_", "act/relative_position_encoding", "act/input_embedder.",
            ".prepare_cache", "denoise/fused", "denoise/x_noisy", "denoise/t_hat")
COMPARED = ("act/", "pred/", "denoise/", "full_data/")


@dataclass(frozen=True)
class Row:
    """Holds one stage of the table: largest error, absolute and relative to the largest
    magnitude."""

    stage: str
    absolute: float
    relative: float
    ok: bool
    remark: str = ""


class Stages(dict):
    """Collects traced values under the recording's keys, counting the calls of each name."""

    def __init__(self, prefix: str = "act") -> None:
        super().__init__()
        self._prefix, self._count = prefix, Counter()

    def __call__(self, name: str, value: object) -> None:
        if name.startswith("pred/"):
            self[name] = _numpy(value)
            return
        key = f"{self._prefix}/{name}"
        if name != "z_init":
            key += f"#{self._count[name]}"
            self._count[name] += 1
        parts = {f"{key}/{k}": v for k, v in enumerate(value)} if isinstance(value, tuple) else {
            key: value}
        self.update({k: _numpy(v) for k, v in parts.items()})


def _numpy(value: object) -> Array:
    """Copy: the model may write over what it has shown."""
    return np.array(value.asnumpy() if isinstance(value, Tensor) else value)


def build(recording: Recording, checkpoint: Iterable[tuple[str, Array]] | None = None) -> Protenix:
    """Build the recorded model, with weights by rule or from a checkpoint's (name, array) pairs."""
    model = Protenix(recording.config)
    load_weights(model, recording.weights() if checkpoint is None else checkpoint)
    model.set_train(False)
    return model


def run(recording: Recording, model: Protenix) -> dict[str, Array]:
    """Compute every contract stage of a prediction, under the recording's keys."""
    stages, draws = Stages(), recording.draws()
    with listening(stages):
        prediction = model.predict(recording.features, draws)
    draws.require_all_used()
    stages.update(scores(recording, prediction))
    if not recording.truth:
        stages.update(inexact_confidence(recording, model, stages))
    if "denoise/x_noisy" in recording.outputs:
        stages.update(denoise(recording, model, stages))
    return dict(stages)


def scores(recording: Recording, prediction: Prediction) -> dict[str, Array]:
    """Compute the summary confidences and full data of every sample."""
    layout, values = Layout.from_features(recording.features), {}
    cycles = recording.config.model.N_cycle
    for i, confidence in enumerate(prediction.confidence):
        summary = summarize(
            confidence, prediction.coordinates[i], prediction.contact_probs, layout, cycles
        )
        values.update({f"pred/summary_confidence/{i}/{k}": np.asarray(v)
                      for k, v in summary.items()})
        values[f"full_data/{i}/token_pair_pae"] = confidence.pae
        values[f"full_data/{i}/token_pair_pde"] = confidence.pde
    return values


def upstream_distances(
    x: Float[Array, "n 3"], y: Float[Array, "m 3"] | None = None
) -> Float[Array, "n _"]:
    """Compute `torch.cdist` of points with others, or with themselves.

    Beyond 25 points it is ``|a|^2 + |b|^2 - 2 a b`` in float32, wrong by up to 0.03 A, and
    rounded after every fused multiply-add, as its matrix product does.
    """
    x = x.astype(np.float32)
    y = x if y is None else y.astype(np.float32)
    if max(len(x), len(y)) <= MM_POINTS:
        return point_distances(x, y)
    ax, ay = x.T, y.T
    square_x, square_y = (p[0] ** 2 + p[1] ** 2 + p[2] ** 2 for p in (ax, ay))
    left = (*(-2 * ax), square_x, np.ones_like(square_x))
    right = (*ay, np.ones_like(square_y), square_y)
    total = np.float32(0)
    for a, b in zip(left, right):
        total = (total + np.multiply.outer(a, b, dtype=np.float64)).astype(np.float32)
    return np.sqrt(np.maximum(total, 0))


def trunk_of(recording: Recording, stages: Mapping[str, Array]) -> Trunk:
    """Return our trunk's last representations."""
    last = f"act/pairformer_stack#{recording.config.model.N_cycle - 1}"
    return Trunk(*(Tensor(stages[k]) for k in ("act/input_embedder#0", f"{last}/0", f"{last}/1")))


def inexact_confidence(
    recording: Recording, model: Protenix, stages: Mapping[str, Array]
) -> dict[str, Array]:
    """Compute PAE and PDE logits from the recorded coordinates with upstream's inexact distances.

    What remains between these and the recording is ours alone, so they are held to a tight bar
    where no float64 recording exists.
    """
    head, job = model.confidence_head, ConfidenceFeatures.from_features(recording.features)
    s, z = head.embed(*trunk_of(recording, stages))
    every, pae, pde = slice(0, z.shape[0]), [], []
    for x in recording.outputs["pred/coordinate"][:, job.representative]:
        _, z_sample = head.pairformer_stack(s, head.add_distances(z, upstream_distances(x)))
        pae.append(head.pae_logits(z_sample, every).asnumpy())
        pde.append(head.pde_logits(z_sample, every).asnumpy())
    return {f"{INEXACT}pred/pae": np.stack(pae), f"{INEXACT}pred/pde": np.stack(pde)}


def denoise(
    recording: Recording, model: Protenix, stages: Mapping[str, Array]
) -> dict[str, Array]:
    """Repeat the recorded stand-alone denoiser call, on our trunk's last representations."""
    trunk = trunk_of(recording, stages)
    job, heard = ModelInputs(recording.features), Stages("denoise/plain")
    prepared = model.diffusion_module.prepare(job.atoms, job.positions, *trunk)
    with listening(heard):
        x = model.diffusion_module(
            Tensor(recording.outputs["denoise/x_noisy"]), recording.outputs["denoise/t_hat"],
            prepared,
        )
    heard["denoise/plain/x_denoised"] = x.asnumpy()
    return dict(heard)


def tolerance(key: str, exact: bool) -> tuple[str, float]:
    """Return ("absolute" or "relative", bar) of a stage; `exact`: the reference is float64."""
    if key == "pred/coordinate":
        return "absolute", COORDINATES
    if not exact and any(word in key for word in ("pae", "pde", "summary", "full_data")):
        return "relative", DISTRIBUTIONS
    return "relative", SINGLE if key.startswith(MODULES) and "#1" not in key else STACK


def compare(recording: Recording, ours: Mapping[str, Array]) -> list[Row]:
    """Make one row per recorded stage; what we should have written and did not is not ok."""
    rows = []
    for key, theirs in recording.outputs.items():
        optional = any(word in key for word in OPTIONAL)
        if not key.startswith(COMPARED) or (optional and key not in ours):
            continue
        exact = key in recording.truth
        reference = np.squeeze(recording.truth[key] if exact else theirs)
        if key not in ours:
            rows.append(Row(key, np.inf, np.inf, False, "not written by us"))
        elif np.squeeze(ours[key]).shape != reference.shape:
            rows.append(Row(key, np.inf, np.inf, False, f"shape {ours[key].shape}"))
        else:
            rows.append(_row(key, np.squeeze(ours[key]), reference, exact))
            if f"{INEXACT}{key}" in ours:
                rows[-1] = _judged_by_inexact(rows[-1], ours[f"{INEXACT}{key}"], theirs)
    return rows


def _judged_by_inexact(row: Row, ours: Array, theirs: Array) -> Row:
    """Judge PAE and PDE without a float64 twin: equal but for upstream's distances."""
    error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    remark = f"{error:.1e} with upstream's inexact distances"
    return replace(row, ok=error <= STACK and row.relative <= 2 * DISTRIBUTIONS, remark=remark)


def _row(key: str, ours: Array, reference: Array, exact: bool) -> Row:
    difference = np.abs(ours.astype(np.float64) - reference.astype(np.float64))
    absolute = float(difference.max(initial=0))
    relative = absolute / max(float(np.abs(reference).max(initial=0)), 1e-30) if absolute else 0.0
    kind, bar = tolerance(key, exact)
    ok = (absolute if kind == "absolute" else relative) <= bar
    return Row(key, absolute, relative, bool(ok), "against float64" if exact else "")


def absent(recording: Recording) -> list[str]:
    """List the recorded stages that a replay leaves out by design."""
    return [k for k in recording.outputs if any(word in k for word in OPTIONAL)]


def expected_parameters(recording: Recording) -> dict[str, tuple[int, ...]]:
    """List the names and shapes that a checkpoint of the recorded model must have."""
    return parameter_shapes(recording.config)
