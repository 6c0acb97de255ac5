# SPDX-License-Identifier: Apache-2.0
"""Layer normalisation with optional scale and offset."""

from __future__ import annotations

from mindspore import Tensor, nn

from protenix_ms.nn.linear import empty_parameter
from protenix_ms.ops.layer_norm import layer_norm, layer_norm_channel_first
from protenix_ms.typing import Float


class LayerNorm(nn.Cell):
    """Normalise over the last axis (epsilon 1e-5).

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
        return layer_norm(x, self.weight, self.bias)

    def from_channel_first(self, x: Float[Tensor, "c m"]) -> Float[Tensor, "m c"]:
        """Normalise over the first axis; the result has channels last."""
        return layer_norm_channel_first(x, self.weight, self.bias)
