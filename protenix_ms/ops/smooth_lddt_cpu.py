# SPDX-License-Identifier: Apache-2.0
"""Smooth lDDT and its derivative by the C++ kernel, in one pass that stores no pair.

Importing this module needs the compiled library: ask `native.library_path` first.
"""

from __future__ import annotations

from mindspore import Tensor

from protenix_ms.ops.native_operator import NativeOperator, settings
from protenix_ms.runtime.policy import policy
from protenix_ms.typing import Float


def _shapes(x, known, resolved, reach, numbers):
    return x[:2], x, x[1:2]


_smooth_lddt = NativeOperator("smooth_lddt", _shapes, 3)


def kernel_smooth_lddt(
    x: Float[Tensor, "b a 3"],
    known: Float[Tensor, "a 3"],
    resolved: Float[Tensor, "a"],
    reach: Float[Tensor, "a"],
) -> tuple[Float[Tensor, "b a"], Float[Tensor, "b a 3"], Float[Tensor, "a"]]:
    """Sums over the pairs of each row of how well their distances are kept.

    Args:
        x, known: coordinates, angstrom.
        resolved: 1 where they are known.
        reach: radius of each row's atom, angstrom; 0 if it is unknown.

    Returns:
        Sums per row, the derivative of their total by `x`, number of pairs of each row.
    """
    return _smooth_lddt(x, known, resolved, reach, settings(0.0, policy().threads, False))
