# SPDX-License-Identifier: Apache-2.0
"""Layer normalisation over the last axis."""

from __future__ import annotations

from functools import cache

import numpy as np
from mindspore import Tensor, ops

from protenix_ms.runtime.policy import policy
from protenix_ms.typing import Float

EPSILON = 1e-5  # everywhere in Protenix (trap H11)

_layer_norm = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=EPSILON)

_transposed = ops.MatMul(transpose_a=True)


@cache
def _constant(width: int, value: float) -> Tensor:
    return Tensor.from_numpy(np.full(width, value, np.float32))


def layer_norm(
    x: Float[Tensor, "*b c"],
    weight: Float[Tensor, "c"] | None = None,
    bias: Float[Tensor, "c"] | None = None,
) -> Float[Tensor, "*b c"]:
    """Normalise `x` over its last axis; absent `weight` is 1, absent `bias` is 0."""
    width = x.shape[-1]
    weight = _constant(width, 1.0) if weight is None else weight
    bias = _constant(width, 0.0) if bias is None else bias
    return _layer_norm(x, weight, bias)[0]


@cache
def _identity(width: int) -> Tensor:
    return Tensor.from_numpy(np.eye(width, dtype=np.float32))


def layer_norm_channel_first(
    x: Float[Tensor, "c m"],
    weight: Float[Tensor, "c"] | None = None,
    bias: Float[Tensor, "c"] | None = None,
) -> Float[Tensor, "m c"]:
    """Normalise `x` over its first axis; the result has channels last.

    On CPU the transpose is an exact product with the identity, four times faster than the
    back end's permuting copy (reference mindspore.md section 2).
    """
    if policy().device == "CPU":
        x = _transposed(x, _identity(x.shape[0]))
    else:
        x = ops.transpose(x, (1, 0))
    return layer_norm(x, weight, bias)
