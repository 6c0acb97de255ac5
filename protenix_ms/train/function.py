# SPDX-License-Identifier: Apache-2.0
"""Train a function head on an encoder that is frozen, or whose last layers learn with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mindspore import Tensor, ops
from ml_collections import ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from protenix_ms.errors import InputError
from protenix_ms.function import FunctionHead
from protenix_ms.function.tuned import ENCODER, TunedEncoder
from protenix_ms.io.atomic import write_bytes
from protenix_ms.metrics.annotation import score_annotations
from protenix_ms.runtime.gradient import value_and_gradients
from protenix_ms.train.optimiser import Adam
from protenix_ms.typing import Array, Bool, Float

STATE = "state.safetensors"
_ADAM = {"beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0, "use_adamw": False}


@dataclass(frozen=True)
class HeadTraining:
    """How a head is trained.

    Attributes:
        epochs: passes over the proteins.
        batch: proteins of an update.
        rate: learning rate of the head; layers of the encoder learn at a tenth of it.
        dropout: share of the hidden layer that is dropped.
        weighting: "none", or "inverse" to weigh a term's proteins by 1 / sqrt(frequency).
        unfreeze: last layers of the encoder that learn, too.
        seed: of initial weights, order and dropout.
    """

    epochs: int = 60
    batch: int = 64
    rate: float = 1e-3
    dropout: float = 0.3
    weighting: str = "none"
    unfreeze: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Annotated:
    """Proteins with their terms.

    Attributes:
        sequences: their letters.
        pooled: mean vectors of the frozen encoder.
        truth: terms, propagated.
    """

    sequences: Sequence[str]
    pooled: Float[Array, "p c"]
    truth: Bool[Array, "p t"]


def binary_cross_entropy(
    logits: Float[Tensor, "p t"], truth: Float[Tensor, "p t"], weight: Float[Tensor, "t"]
) -> Float[Tensor, ""]:
    """Average -log p over proteins and terms; `weight` multiplies true ones."""
    softplus = ops.log1p(ops.exp(-ops.abs(logits))) + ops.relu(-logits)  # -log sigmoid
    return ops.mean(truth * weight * softplus + (1 - truth) * (softplus + logits))


@dataclass
class FunctionTrainer:
    """Trains a head, and writes after every epoch what a later run goes on from.

    Attributes:
        head: with any weights.
        config: how.
        train: what is learnt from.
        valid: what the best epoch is chosen by; None takes the last epoch.
        counted: terms that count there.
        folder: of the run.
        tuned: the encoder whose layers learn, None for a frozen one.
        mark: what was learnt from what; a state of another mark is left alone.
    """

    head: FunctionHead
    config: HeadTraining
    train: Annotated
    valid: Annotated | None
    counted: Bool[Array, "t"]
    folder: Path
    tuned: TunedEncoder | None = None
    mark: str = ""
    best: dict[str, Array] = field(default_factory=dict)
    best_score: float = -1.0

    def __post_init__(self) -> None:
        self.parameters = {name: p for name, p in self.head.parameters_and_names()
                           if p.requires_grad}
        if self.tuned is not None:
            self.parameters |= {ENCODER + k: p for k, p in self.tuned.parameters().items()}
        for name, parameter in self.parameters.items():
            parameter.name = name
        self.optimiser = Adam(self.parameters, ConfigDict(_ADAM))

    def run(self, report: Callable[[dict], None] = lambda line: None) -> dict[str, Array]:
        """Train all epochs that are left, and return the weights of the best one.

        Args:
            report: called with the line of each epoch.

        Raises:
            InputError: the loss is not finite.
        """
        frequency = self.train.truth.mean(0)
        self.head.start_from(self.train.pooled, frequency, np.random.default_rng(self.config.seed))
        weight = np.ones(len(frequency))
        if self.config.weighting == "inverse":
            weight = np.maximum(frequency, 1 / len(self.train.truth)) ** -0.5
        scale = Tensor(weight.astype(np.float32))
        for epoch in range(self._resume(), self.config.epochs):
            loss = self._epoch(epoch, scale)
            if not np.isfinite(loss):
                raise InputError("the loss is not finite", where=f"epoch {epoch + 1}",
                                 fix="take a smaller --rate")
            line = {"epoch": epoch + 1, "loss": loss}
            if self.valid is not None:
                line["fmax"] = self._judge(self.valid)
            if line.get("fmax", float(epoch)) > self.best_score:
                self.best_score = line.get("fmax", float(epoch))
                self.best = self.arrays()
            self._save(epoch + 1)
            report(line)
        return self.best

    def arrays(self) -> dict[str, Array]:
        """Copy the weights of head and changed layers, by name."""
        constants = {"mean": self.head.mean, "spread": self.head.spread}
        return {name: p.asnumpy().copy() for name, p in (constants | self.parameters).items()}

    def scores(self, proteins: Annotated) -> Float[Array, "p t"]:
        """Score proteins by the present weights."""
        pooled = proteins.pooled
        if self.tuned is not None:
            pooled = self.tuned.pool_all(proteins.sequences)
        return predict_scores(self.head, pooled)

    def _epoch(self, epoch: int, weight: Float[Tensor, "t"]) -> float:
        c, rng = self.config, np.random.default_rng((self.config.seed, epoch))
        losses = []
        for rows in _batches(rng.permutation(len(self.train.truth)), c.batch):
            kept = (rng.random((len(rows), self.head.sizes.hidden)) >= c.dropout) / (1 - c.dropout)
            mask = Tensor(kept.astype(np.float32))
            truth = Tensor(self.train.truth[rows].astype(np.float32))

            def forward(
                rows: Array = rows, mask: Tensor = mask, truth: Tensor = truth
            ) -> tuple[Tensor, None]:
                return binary_cross_entropy(self.head(self._pooled(rows), mask), truth,
                                            weight), None

            loss, _, gradients = value_and_gradients(forward, list(self.parameters.values()))
            self.optimiser.update(gradients, lambda name: c.rate * (
                0.1 if name.startswith(ENCODER) else 1.0))
            losses.append(float(loss))
        return float(np.mean(losses))

    def _pooled(self, rows: Array) -> Float[Tensor, "p c"]:
        if self.tuned is None:
            return Tensor(self.train.pooled[rows])
        return self.tuned.pool([self.train.sequences[i] for i in rows])

    def _judge(self, proteins: Annotated) -> float:
        return score_annotations(proteins.truth, self.scores(proteins),
                                 np.zeros(proteins.truth.shape[1]), self.counted).fmax

    def _save(self, epoch: int) -> None:
        arrays = {f"now/{name}": x for name, x in self.arrays().items()}
        arrays |= {f"best/{name}": x for name, x in self.best.items()}
        arrays |= {f"adam/{name}": np.ascontiguousarray(x) for name, x in self.optimiser.state()}
        state = {"epoch": epoch, "best": self.best_score, "updates": self.optimiser.updates}
        write_bytes(self.folder / STATE, save(arrays, {
            "mark": self.mark, "state": json.dumps(state)}))

    def _resume(self) -> int:
        """Go on from the state of an earlier run with the same mark; return its next epoch."""
        try:
            with safe_open(self.folder / STATE, "np") as file:
                about = file.metadata() or {}
                if about.get("mark") != self.mark:
                    return 0
                arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError):
            return 0
        state, parts = json.loads(about["state"]), _split(arrays)
        for name, parameter in self.parameters.items():
            parameter.set_data(Tensor(parts["now"][name]))
        self.best, self.best_score = parts["best"], state["best"]
        self.optimiser.restore(parts["adam"].items(), state["updates"])
        return int(state["epoch"])


def _split(arrays: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    parts: dict[str, dict[str, Array]] = {"now": {}, "best": {}, "adam": {}}
    for key, value in arrays.items():
        kind, _, name = key.partition("/")
        parts[kind][name] = value
    return parts


def _batches(rows: Array, size: int) -> Iterator[Array]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def predict_scores(head: FunctionHead, pooled: Float[Array, "p c"]) -> Float[Array, "p t"]:
    """Return the probability of every term, in batches."""
    parts = [ops.sigmoid(head(Tensor(np.ascontiguousarray(pooled[rows], np.float32)))).asnumpy()
             for rows in _batches(np.arange(len(pooled)), 1024)]
    return np.concatenate(parts) if parts else np.zeros((0, head.sizes.terms), np.float32)
