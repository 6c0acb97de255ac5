# SPDX-License-Identifier: Apache-2.0
"""Adam and the moving average by the C++ kernel: all tensors in one call, in place.

On CPU a tensor's numpy view is its memory, whoever made the tensor; so what the kernel writes
there is what the next operator reads. The unit test holds MindSpore to that.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mindspore import Tensor

from protenix_ms.errors import ResourceError
from protenix_ms.ops.native import library
from protenix_ms.runtime.policy import policy

_POINTER, _FLOAT = ctypes.c_void_p, ctypes.c_float


class _Tensor(ctypes.Structure):
    """`PmsAdamTensor` of csrc/cpu/kernels.h."""

    _fields_ = [
        *[(n, _POINTER) for n in ("weight", "gradient", "first", "second", "average")],
        ("size", ctypes.c_int64),
        *[(n, _FLOAT) for n in ("decay", "keep", "rate", "root_scale")],
    ]


class _Adam(ctypes.Structure):
    """`PmsAdam` of csrc/cpu/kernels.h."""

    _fields_ = [
        ("tensors", ctypes.POINTER(_Tensor)), ("first_unit", _POINTER), ("count", ctypes.c_int64),
        *[(n, _FLOAT) for n in ("beta2", "new_first", "new_second", "epsilon", "average",
                                "new_average")],
    ]


@dataclass(frozen=True)
class Change:
    """What happens to one parameter; see `PmsAdamTensor` for the numbers.

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


def kernel_adam(changes: Sequence[Change], betas: Betas) -> None:
    """One update. Raises ResourceError where a thread's memory is not to be had."""
    kernels, held = library(), []
    rows = (_Tensor * len(changes))(*[_row(change, held) for change in changes])
    unit = kernels.pms_adam_unit
    unit.restype = ctypes.c_int64
    units = [-(-row.size // unit()) for row in rows]
    first_unit = np.concatenate([[0], np.cumsum(units)]).astype(np.int64)
    job = _Adam(rows, first_unit.ctypes.data, len(rows), betas.second, 1 - betas.first,
                1 - betas.second, betas.epsilon, betas.average, 1 - betas.average)
    total = ctypes.c_int64(int(first_unit[-1]))
    if kernels.pms_adam(ctypes.byref(job), total, 0, policy().threads):
        raise ResourceError("the optimiser's kernel has no memory",
                            fix="train with a smaller --set training.train_crop_size")


def _row(change: Change, held: list) -> _Tensor:
    """Addresses of one parameter's tensors; `held` keeps the views alive."""
    addresses = []
    for name in ("weight", "gradient", "first", "second", "average"):
        tensor = getattr(change, name)
        array = None if tensor is None else tensor.asnumpy()
        if array is not None and not (array.flags.c_contiguous and array.dtype == np.float32
                                      and array.size == change.weight.size):
            raise ValueError(f"{name} is no float32 array of the weight's size")
        held.append(array)
        addresses.append(None if array is None else array.ctypes.data)
    return _Tensor(*addresses, change.weight.size, change.decay, change.keep, change.rate,
                   change.root_scale)
