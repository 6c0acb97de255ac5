# SPDX-License-Identifier: Apache-2.0
"""Whether a layer runs as one kernel: norm, projections, gate, output and residual together."""

from __future__ import annotations

from functools import cache
from types import ModuleType

from mindspore import Tensor, float32, ops

from protenix_ms.ops.einsum import einsum
from protenix_ms.ops.native import kernels_serve
from protenix_ms.runtime.gradient import recording
from protenix_ms.typing import Float

WORTH_PACKING = 48  # positions; below, packing the weights outweighs the work
WORTH_A_KERNEL = 2 * 10**6  # multiply-adds; below, calling the kernel costs more than it saves

_bias_add = ops.BiasAdd()


@cache
def _cpu() -> ModuleType:
    """The C++ forms; importing them needs the compiled library."""
    from protenix_ms.ops import pair_layers_cpu

    return pair_layers_cpu


def whole_layers(x: Float[Tensor, "*b c"]) -> ModuleType | None:
    """The kernels of whole layers, `pair_layers_cpu`; None where the composed form serves `x`.

    They have no gradient: a module's composed form is what trains, and what tests compare to.
    """
    return _kernels(x) if x.size >= WORTH_PACKING * x.shape[-1] else None


def linear(
    x: Float[Tensor, "m c"], weight: Float[Tensor, "h c"], bias: Float[Tensor, "h"] | None
) -> Float[Tensor, "m h"]:
    """``x W^T + b``. While MindSpore's own product runs, its caller spins on one of the cores."""
    kernels = _kernels(x) if x.size * weight.shape[0] >= WORTH_A_KERNEL else None
    if kernels is not None:
        return kernels.linear(x, weight, bias)
    y = einsum("mi,oi->mo", x, weight)
    return y if bias is None else _bias_add(y, bias)


def _kernels(x: Tensor) -> ModuleType | None:
    # `recording` comes last: it is nothing that the parser of MindSpore's `jit` can read.
    if x.dtype != float32 or not kernels_serve() or recording():
        return None
    return _cpu()
