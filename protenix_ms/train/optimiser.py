# SPDX-License-Identifier: Apache-2.0
"""Adam as PyTorch computes it, gradient clipping, and moving averages of the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from mindspore import Parameter, Tensor, ops
from ml_collections import ConfigDict

from protenix_ms.typing import Array, Float

EPSILON = 1e-8  # added to the root of the second moment
CLIP_EPSILON = 1e-6  # added to the norm

Gradients = Mapping[str, Tensor]


def words(names: str) -> tuple[str, ...]:
    """Words of a comma-separated setting."""
    return tuple(word.strip() for word in names.split(",") if word.strip())


def total_norm(gradients: Gradients) -> Float[Tensor, ""]:
    """Euclidean norm over all gradients together."""
    squares = [ops.sum(ops.square(g)) for g in gradients.values()]
    return ops.sqrt(ops.sum(ops.stack(squares)))


def clip(gradients: Gradients, largest: float) -> tuple[dict[str, Tensor], float]:
    """Gradients scaled down to a norm of at most `largest`, and the norm before."""
    norm = float(total_norm(gradients))
    factor = largest / (norm + CLIP_EPSILON)
    if not factor < 1:  # small enough, or not a number: the caller decides
        return dict(gradients), norm
    return {name: g * factor for name, g in gradients.items()}, norm


class Adam:
    """Adam with the decay as part of the gradient, or AdamW.

    Upstream trains with the first. AdamW decays only what has two axes or more, as upstream's does.

    Args:
        parameters: of the model, by name.
        config: ``config.adam``.
    """

    def __init__(self, parameters: Mapping[str, Parameter], config: ConfigDict) -> None:
        self._parameters, self._config = dict(parameters), config
        self.first: dict[str, Tensor] = {}
        self.second: dict[str, Tensor] = {}
        self.updates: dict[str, int] = {}

    def update(self, gradients: Gradients, rate: Callable[[str], float]) -> None:
        """Change the parameters in place.

        Args:
            gradients: parameters without one stay as they are, and so do their moments.
            rate: learning rate of a parameter.
        """
        for name, gradient in gradients.items():
            self._update_one(name, gradient, rate(name))

    def _update_one(self, name: str, gradient: Tensor, rate: float) -> None:
        c, parameter = self._config, self._parameters[name]
        weight, decay = parameter.value(), c.weight_decay
        if not c.use_adamw:
            gradient = gradient + weight * decay if decay else gradient
        elif weight.ndim >= 2:
            weight = weight * (1 - rate * decay)
        count = self.updates[name] = self.updates.get(name, 0) + 1
        first, second = (s.get(name) for s in (self.first, self.second))
        square = ops.square(gradient) * (1 - c.beta2)
        if first is None:
            first, second = gradient * (1 - c.beta1), square
        else:
            first = first + (gradient - first) * (1 - c.beta1)
            second = second * c.beta2 + square
        self.first[name], self.second[name] = first, second
        root = ops.sqrt(second) * (1 / float(np.sqrt(1 - c.beta2**count))) + EPSILON
        parameter.set_data(weight - first / root * (rate / (1 - c.beta1**count)))

    def state(self) -> Iterator[tuple[str, Float[Array, "..."]]]:
        """Moments as ``first/<name>`` and ``second/<name>``; `updates` is the rest."""
        for kind, moments in (("first", self.first), ("second", self.second)):
            for name, value in moments.items():
                yield f"{kind}/{name}", value.asnumpy()

    def restore(
        self, arrays: Iterable[tuple[str, Float[Array, "..."]]], updates: Mapping[str, int]
    ) -> None:
        """Take up a `state`."""
        for key, value in arrays:
            kind, _, name = key.partition("/")
            getattr(self, kind)[name] = Tensor.from_numpy(np.require(value, np.float32, ["C", "W"]))
        self.updates = dict(updates)


class MovingAverage:
    """Exponential moving average of the weights (upstream `EMAWrapper`).

    Args:
        parameters: of the model, by name.
        decay: weight of what was.
        only: words, one of which is in the name of what is averaged; others keep the value they
            had at first. Empty: everything.
    """

    def __init__(
        self, parameters: Mapping[str, Parameter], decay: float, only: tuple[str, ...] = ()
    ) -> None:
        self._parameters, self.decay, self._only = dict(parameters), decay, only
        self.average = {name: p.value().copy() for name, p in self._parameters.items()}

    def update(self) -> None:
        """Take in the present weights."""
        for name, parameter in self._parameters.items():
            if self._only and not any(word in name for word in self._only):
                continue
            new = parameter.value() * (1.0 - self.decay)
            self.average[name] = new + self.average[name] * self.decay

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model with averaged weights, for the block."""
        present = {name: p.value().copy() for name, p in self._parameters.items()}
        try:
            for name, parameter in self._parameters.items():
                parameter.set_data(self.average[name].copy())
            yield
        finally:
            for name, parameter in self._parameters.items():
                parameter.set_data(present[name])

    def restore(self, arrays: Iterable[tuple[str, Float[Array, "..."]]]) -> None:
        """Take up averages from a checkpoint."""
        for name, value in arrays:
            self.average[name] = Tensor.from_numpy(np.require(value, np.float32, ["C", "W"]))
