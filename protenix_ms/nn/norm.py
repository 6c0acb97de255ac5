# SPDX-License-Identifier: Apache-2.0
"""Layer normalisation with optional scale and offset."""

from __future__ import annotations

from collections.abc import Callable

import mindspore
from mindspore import Tensor, nn

from protenix_ms.nn.linear import empty_parameter
from protenix_ms.ops.layer_norm import layer_norm, layer_norm_channel_first
from protenix_ms.typing import Float


class LayerNorm(nn.Cell):
    """Normalise over the last axis (epsilon 1e-5), in fp32; the result has the input's dtype.

    Args:
        c: channels.
        scale, offset: whether there is a `weight` and a `bias`; upstream's files hold neither
            entry for those that are absent.
    """

    def __init__(self, c: int, scale: bool = True, offset: bool = True) -> None:
        super().__init__()
        self.weight = empty_parameter((c,), 1.0) if scale else None
        self.bias = empty_parameter((c,)) if offset else None

    def construct(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        return self._normalise(layer_norm, x)

    def from_channel_first(self, x: Float[Tensor, "c m"]) -> Float[Tensor, "m c"]:
        """Normalise over the first axis; the result has channels last."""
        return self._normalise(layer_norm_channel_first, x)

    def _normalise(self, norm: Callable[..., Tensor], x: Tensor) -> Tensor:
        if x.dtype == mindspore.float32:
            return norm(x, self.weight, self.bias)
        # upstream's norms take weights with the precision of the input
        weight, bias = (
            p if p is None else p.astype(x.dtype).astype(mindspore.float32)
            for p in (self.weight, self.bias)
        )
        return norm(x.astype(mindspore.float32), weight, bias).astype(x.dtype)
