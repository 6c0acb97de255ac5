# SPDX-License-Identifier: Apache-2.0
"""Adam as PyTorch computes it, gradient clipping, averages of weights, and the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from mindspore import Parameter, Tensor, ops
from ml_collections import ConfigDict

from protenix_ms.errors import ConfigError
from protenix_ms.ops.native import kernels_serve
from protenix_ms.typing import Array, Float

EPSILON = 1e-8  # added to the root of the second moment
CLIP_EPSILON = 1e-6  # added to the norm
SCHEDULES = ("af3", "cosine_annealing", "constant")

Gradients = Mapping[str, Tensor]


def words(names: str) -> tuple[str, ...]:
    """Split a comma-separated setting into words."""
    return tuple(word.strip() for word in names.split(",") if word.strip())


def total_norm(gradients: Gradients) -> float:
    """Compute the Euclidean norm over all gradients together."""
    if kernels_serve():
        from protenix_ms.ops.adam_cpu import kernel_norm

        return kernel_norm(list(gradients.values()))
    squares = [ops.sum(ops.square(g)) for g in gradients.values()]
    return float(ops.sqrt(ops.sum(ops.stack(squares))))


def clipping(norm: float, largest: float) -> float:
    """Compute the factor that brings gradients of a norm to at most `largest`, at most 1."""
    factor = largest / (norm + CLIP_EPSILON)
    return factor if factor < 1 else 1.0  # 1 where the norm is no number: the caller decides


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

    def update(
        self, gradients: Gradients, rate: Callable[[str], float],
        average: MovingAverage | None = None, clip: float = 1.0,
    ) -> None:
        """Change the parameters in place, and let an average follow.

        Args:
            gradients: parameters without one stay as they are, and so do their moments.
            rate: learning rate of a parameter.
            clip: multiplies every gradient; see `clipping`.
        """
        for name in gradients:
            self.updates[name] = self.updates.get(name, 0) + 1
        if kernels_serve():
            self._update_together(gradients, rate, average, clip)
            return
        for name, gradient in gradients.items():
            self._update_one(name, gradient if clip == 1 else gradient * clip, rate(name))
        if average is not None:
            average.update()

    def _update_one(self, name: str, gradient: Tensor, rate: float) -> None:
        """Update one parameter by operators: the plain form, which the kernel is tested against."""
        c, parameter, scale = self._config, self._parameters[name], self._scales(name, rate)
        weight = parameter.value() * scale["keep"]
        gradient = gradient + parameter.value() * scale["decay"]
        first, second = (s.get(name) for s in (self.first, self.second))
        square = ops.square(gradient) * (1 - c.beta2)
        if first is None:
            first, second = gradient * (1 - c.beta1), square
        else:
            first = first + (gradient - first) * (1 - c.beta1)
            second = second * c.beta2 + square
        self.first[name], self.second[name] = first, second
        root = ops.sqrt(second) * scale["root_scale"] + EPSILON
        parameter.set_data(weight - first / root * scale["rate"])

    def _scales(self, name: str, rate: float) -> dict[str, float]:
        """Compute the factors of one parameter's present update (`ops.adam_cpu.Change`)."""
        c, count = self._config, self.updates[name]
        decoupled = c.use_adamw and self._parameters[name].ndim >= 2
        return {
            "decay": 0.0 if c.use_adamw else c.weight_decay,
            "keep": 1 - rate * c.weight_decay if decoupled else 1.0,
            "rate": rate / (1 - c.beta1**count),
            "root_scale": 1 / float(np.sqrt(1 - c.beta2**count)),
        }

    def _update_together(
        self, gradients: Gradients, rate: Callable[[str], float], average: MovingAverage | None,
        clip: float,
    ) -> None:
        from protenix_ms.ops.adam_cpu import Betas, Change, kernel_adam

        c, followed = self._config, {} if average is None else average.followed()
        changes = []
        for name, parameter in self._parameters.items():
            gradient, mean = gradients.get(name), followed.get(name)
            if gradient is None and mean is None:
                continue
            more = {}
            if gradient is not None:
                for moments in (self.first, self.second):
                    if name not in moments:
                        moments[name] = Tensor.from_numpy(np.zeros(parameter.shape, np.float32))
                more = {"first": self.first[name], "second": self.second[name],
                        **self._scales(name, rate(name))}
            changes.append(Change(parameter, gradient, average=mean, **more))
        decay = 0.0 if average is None else average.decay
        kernel_adam(changes, Betas(c.beta1, c.beta2, EPSILON, decay), clip)

    def state(self) -> Iterator[tuple[str, Float[Array, "..."]]]:
        """Yield the moments as ``first/<name>`` and ``second/<name>``; `updates` is the rest."""
        for kind, moments in (("first", self.first), ("second", self.second)):
            for name, value in moments.items():
                yield f"{kind}/{name}", value.asnumpy()

    def restore(
        self, arrays: Iterable[tuple[str, Float[Array, "..."]]], updates: Mapping[str, int]
    ) -> None:
        """Continue from a `state`."""
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

    def followed(self) -> dict[str, Tensor]:
        """Select the averages that follow their parameter."""
        return {name: value for name, value in self.average.items()
                if not self._only or any(word in name for word in self._only)}

    def update(self) -> None:
        """Move the averages towards the present weights."""
        for name, value in self.followed().items():
            new = self._parameters[name].value() * (1.0 - self.decay)
            self.average[name] = new + value * self.decay

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averaged weights into the model for the block."""
        present = {name: p.value().copy() for name, p in self._parameters.items()}
        try:
            for name, parameter in self._parameters.items():
                parameter.set_data(self.average[name].copy())
            yield
        finally:
            for name, parameter in self._parameters.items():
                parameter.set_data(present[name])

    def restore(self, arrays: Mapping[str, Float[Array, "..."]]) -> None:
        """Take the averages of a checkpoint; it may have none, and constants besides."""
        for name in self.average.keys() & arrays.keys():
            value = np.require(arrays[name], np.float32, ["C", "W"])
            self.average[name] = Tensor.from_numpy(value)


def learning_rate(step: int, config: ConfigDict) -> float:
    """Compute the rate of an update, the first of which is step 0 (upstream `lr_scheduler.py`).

    "af3" (SI section 5.4) rises linearly from 0 at step 0 and then falls by `decay_factor` every
    `decay_every_n_steps`; without warm-up it starts at the full rate. "cosine_annealing" rises and
    falls to `min_lr_ratio` at `max_steps`.

    Args:
        config: the training tree, or its `finetune` part.

    Raises:
        ConfigError: no such schedule.
    """
    c = config
    if c.lr_scheduler == "constant":
        return c.lr
    if c.lr_scheduler == "af3":
        if step <= c.warmup_steps and c.warmup_steps:
            return step / c.warmup_steps * c.lr
        return c.lr * c.decay_factor ** (step // c.decay_every_n_steps)
    if c.lr_scheduler == "cosine_annealing":
        return _cosine(step, c)
    raise ConfigError(f"unknown schedule '{c.lr_scheduler}'", where="config.lr_scheduler",
                      fix=f"one of {', '.join(SCHEDULES)}")


def _cosine(step: int, config: ConfigDict) -> float:
    c, lowest = config, config.lr * config.min_lr_ratio
    if step <= c.warmup_steps:
        return (step + 1) / (c.warmup_steps + 1) * c.lr
    if step >= c.max_steps:
        return lowest
    share = (step - c.warmup_steps) / (c.max_steps - c.warmup_steps)
    return lowest + 0.5 * (1.0 + math.cos(math.pi * share)) * (c.lr - lowest)
