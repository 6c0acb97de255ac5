# SPDX-License-Identifier: Apache-2.0
"""Norm of gradients, Adam and moving average by C++ kernels: all tensors in one call, in place.

On CPU the numpy view of a tensor is its memory, so the next operator reads what the kernel writes
there. The unit test holds MindSpore to that.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mindspore import Tensor

from protenix_ms.errors import ResourceError
from protenix_ms.ops.native import library
from protenix_ms.runtime.policy import policy

TENSORS = ("weight", "gradient", "first", "second", "average")
NUMBERS = ("decay", "keep", "rate", "root_scale")

# `PmsAdamTensor` and `PmsAdam` of csrc/cpu/kernels.h.
_TENSOR = np.dtype([*((n, "u8") for n in TENSORS), ("size", "i8"), *((n, "f4") for n in NUMBERS)])
_ADAM = np.dtype("u8, u8, i8, f4, f4, f4, f4, f4, f4, f4")


@dataclass(frozen=True)
class Change:
    """The change of one parameter; see `PmsAdamTensor` for the numbers.

    Attributes:
        weight, first, second, average: change in place; first and second go with `gradient`.
    """

    weight: Tensor
    gradient: Tensor | None = None
    first: Tensor | None = None
    second: Tensor | None = None
    average: Tensor | None = None
    decay: float = 0.0
    keep: float = 1.0
    rate: float = 0.0
    root_scale: float = 0.0


@dataclass(frozen=True)
class Betas:
    """Constants of all tensors: Adam's, and the decay of the average."""

    first: float
    second: float
    epsilon: float
    average: float = 0.0


class _Table:
    """The tensors of one call as the kernels read them; it keeps their memory alive."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self.rows, self._views = np.zeros(len(changes), _TENSOR), []
        for row, change in zip(self.rows, changes):
            for name in TENSORS:
                if getattr(change, name) is not None:
                    self._views.append(_view(change, name))
                    row[name] = self._views[-1].ctypes.data
            row["size"] = change.weight.size
            for name in NUMBERS:
                row[name] = getattr(change, name)
        unit = library().pms_adam_unit
        unit.restype = ctypes.c_int64
        ends = np.cumsum(-(-self.rows["size"] // unit()))
        self._first_unit = np.concatenate([[0], ends]).astype(np.int64)
        self.units = ctypes.c_int64(int(self._first_unit[-1]))

    def arguments(self, *numbers: float) -> np.ndarray:
        """Return a `PmsAdam` of these tensors and its `numbers`, from beta2 on."""
        places = (self.rows.ctypes.data, self._first_unit.ctypes.data, len(self.rows))
        return np.array((*places, *numbers), _ADAM)


def kernel_adam(changes: Sequence[Change], betas: Betas, clip: float = 1.0) -> None:
    """Make one update.

    Args:
        clip: multiplies every gradient.

    Raises:
        ValueError: for a tensor that is not float32 or not of the weight's size.
        ResourceError: where there is no memory for a thread.
    """
    table = _Table(changes)
    adam = table.arguments(betas.second, 1 - betas.first, 1 - betas.second, betas.epsilon,
                           betas.average, 1 - betas.average, clip)
    if library().pms_adam(ctypes.c_void_p(adam.ctypes.data), table.units, 0, policy().threads):
        raise _no_memory()


def kernel_norm(gradients: Sequence[Tensor]) -> float:
    """Compute the Euclidean norm over all gradients together, summed in double precision.

    Raises:
        ValueError: for a tensor that is not float32.
        ResourceError: where there is no memory for the sums.
    """
    table, squares = _Table([Change(g, g) for g in gradients]), ctypes.c_double()
    adam = table.arguments(*(0.0,) * 7)
    if library().pms_gradient_norm(ctypes.c_void_p(adam.ctypes.data), table.units,
                                   ctypes.byref(squares), 0, policy().threads):
        raise _no_memory()
    return math.sqrt(squares.value)


def _no_memory() -> ResourceError:
    return ResourceError("the optimiser's kernel has no memory",
                         fix="train with a smaller --set training.train_crop_size")


def _view(change: Change, name: str) -> np.ndarray:
    array = getattr(change, name).asnumpy()
    if not (array.flags.c_contiguous and array.dtype == np.float32
            and array.size == change.weight.size):
        raise ValueError(f"{name} is no float32 array of the weight's size")
    return array
