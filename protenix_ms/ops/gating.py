# SPDX-License-Identifier: Apache-2.0
"""Products with an activated gate, which everything in the model ends with."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from mindspore import Tensor, float32, ops

from protenix_ms.ops.native import kernels_serve
from protenix_ms.typing import Float

WORTH_A_KERNEL = 2**15  # numbers; below, calling the kernel costs more than MindSpore's two passes


@cache
def _kernels() -> tuple[Callable, Callable]:
    """The C++ forms; importing them needs the compiled library."""
    from protenix_ms.ops import elementwise_cpu as cpu

    return cpu.kernel_gate, cpu.kernel_swiglu


def _kernel_pays(x: Tensor, gate: Tensor) -> bool:
    return (x.dtype == float32 and gate.dtype == float32 and x.shape == gate.shape
            and x.size >= WORTH_A_KERNEL and kernels_serve())


def gated(x: Float[Tensor, "..."], gate: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """``x * sigmoid(gate)``; the gate may be shared over axes of x."""
    if _kernel_pays(x, gate):
        return _kernels()[0](x, gate)
    return x * ops.sigmoid(gate)


def swiglu(x: Float[Tensor, "..."], gate: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """``x * silu(gate)``; the gate may be shared over axes of x."""
    if _kernel_pays(x, gate):
        return _kernels()[1](x, gate)
    return x * ops.silu(gate)
