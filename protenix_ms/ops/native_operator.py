# SPDX-License-Identifier: Apache-2.0
"""A compiled kernel as a MindSpore operator, with its gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from mindspore import Tensor, float32, ops

from protenix_ms.errors import ResourceError
from protenix_ms.ops.native import library_path


class NativeOperator(ops.Custom):
    """Entry point `pms_ms_<name>` of csrc/cpu/aot.cc, right in PyNative, `jit` and gradients.

    Make instances at module level: a graph compiled by `jit` keeps only their name alive.

    Args:
        name: entry point.
        out_shape: shapes of the outputs from the shapes of the inputs.
        outputs: how many; all are float32.
        bprop: gradients from ``(*inputs, out, dout)``; without it they are silently zero.

    Raises:
        ResourceError: where there is no library; ask `library_path` first.
    """

    def __init__(
        self, name: str, out_shape: Callable, outputs: int = 1, bprop: Callable | None = None
    ) -> None:
        path = library_path()
        if path is None:
            raise ResourceError("the CPU kernels are not available", fix="install a C++ compiler")
        dtypes = float32 if outputs == 1 else (float32,) * outputs
        super().__init__(
            f"{path}:pms_ms_{name}", out_shape, lambda *_: dtypes, func_type="aot", bprop=bprop
        )


@cache
def settings(number: float, threads: int, flag: bool) -> Tensor:
    """What an entry point needs beside its inputs, as the tensor it reads that from.

    Args:
        number: scale of logits, or epsilon.
        threads: threads, 0 for all cores.
        flag: whether the layout is the other one of the two that the entry point knows.
    """
    return Tensor.from_numpy(np.array([number, threads, flag], np.float32))
