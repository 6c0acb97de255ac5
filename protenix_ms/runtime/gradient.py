# SPDX-License-Identifier: Apache-2.0
"""Gradients with respect to parameters, and parts of a forward pass that have none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor
from mindspore.common.api import _pynative_executor

_suspended = 0


@contextmanager
def without_gradient() -> Iterator[None]:
    """Record nothing in the block for a backward pass, even inside a forward one.

    MindSpore 2.10 has this under a private name only.
    """
    global _suspended
    _suspended += 1
    try:
        with ms._no_grad():
            yield
    finally:
        _suspended -= 1


def recording() -> bool:
    """Tell whether a backward pass may follow what is computed now.

    True in the first pass of a recomputed module too, whose second must give the same numbers.
    """
    return _suspended == 0 and _pynative_executor.grad_flag()


def value_and_gradients(
    forward: Callable[[], tuple[Tensor, Any]], parameters: Sequence[Parameter],
) -> tuple[Tensor, Any, dict[str, Tensor]]:
    """Return the value and the rest that `forward` returns, and the value's gradient by name.

    After an exception in `forward` MindSpore's recording is cleared. Otherwise MindSpore would
    stay in the middle of it and refuse the next index of a tensor.
    """
    finished, rest = False, []

    def only_value() -> Tensor:
        value, other = forward()
        rest.append(other)  # MindSpore's own `has_aux` takes nothing but tensors
        return value

    try:
        value, gradients = ms.value_and_grad(only_value, None, list(parameters))()
        finished = True
    finally:
        if not finished:
            _pynative_executor.clear_res()
    return value, rest[0], {p.name: g for p, g in zip(parameters, gradients, strict=True)}
