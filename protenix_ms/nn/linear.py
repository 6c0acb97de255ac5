# SPDX-License-Identifier: Apache-2.0
"""Linear projection, and parameters that take no memory until a checkpoint fills them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from protenix_ms.ops.einsum import einsum
from protenix_ms.ops.low_precision import bf16_einsum
from protenix_ms.ops.pair_layers import linear
from protenix_ms.runtime.policy import policy
from protenix_ms.runtime.precision import dtype_of
from protenix_ms.typing import Float

Init = Literal["default", "relu", "zeros"]

_bias_add = ops.BiasAdd()


def empty_parameter(shape: tuple[int, ...], fill: float = 0.0) -> Parameter:
    """A float32 parameter full of `fill`.

    Zeros are pages that the system has promised and not yet given: an unloaded model takes no
    memory and no time (MindSpore's own initialisers write every value).
    """
    data = np.full(shape, fill, np.float32) if fill else np.zeros(shape, np.float32)
    return Parameter(Tensor.from_numpy(data))


class Linear(nn.Cell):
    """``y = x W^T + b``, as one two-dimensional matrix multiplication.

    Args:
        c_in, c_out: input and output channels.
        bias: whether there is an offset (initially zero, or `bias_init`).
        init: initial distribution of the weight for training from scratch, upstream's words:
            "default" truncated normal of variance 1/c_in, "relu" 2/c_in, "zeros".
        bias_init: initial value of the offset.

    Attributes:
        bf16: whether its products are bf16; set by `set_precision`.

    Inputs: x ``[..., c_in]``. Outputs: ``[..., c_out]``.
    """

    def __init__(
        self, c_in: int, c_out: int, bias: bool = False, init: Init = "default",
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.init = init
        self.bf16 = False
        self.weight = empty_parameter((c_out, c_in))
        self.bias = empty_parameter((c_out,), bias_init) if bias else None

    def construct(self, x: Float[Tensor, "*b c_in"]) -> Float[Tensor, "*b c_out"]:
        flat = ops.reshape(x, (-1, x.shape[-1]))
        flat = self._low(flat) if self.bf16 else linear(flat, self.weight, self.bias)
        return ops.reshape(flat, (*x.shape[:-1], self.weight.shape[0]))

    def _low(self, x: Float[Tensor, "m c_in"]) -> Float[Tensor, "m c_out"]:
        y = bf16_einsum("mi,oi->mo", x, self.weight)
        return y if self.bias is None else _bias_add(y, self.bias.astype(y.dtype))

    def _product(self, equation: str, x: Tensor, y: Tensor) -> Tensor:
        return bf16_einsum(equation, x, y) if self.bf16 else einsum(equation, x, y)

    def channel_first(
        self, x: Float[Tensor, "m c_in"], channels: slice | None = None
    ) -> Float[Tensor, "c_out m"]:
        """``W x^T`` (no offset): the transpose comes out of the matrix product, at no cost.

        `channels`: only these of the output.
        """
        whole = channels is None or channels == slice(0, self.weight.shape[0])
        weight = self.weight if whole else self.weight[channels]
        return self._product("oi,mi->om", weight, x)

    def from_channel_first(self, x: Float[Tensor, "c_in m"]) -> Float[Tensor, "m c_out"]:
        """``x^T W^T`` (no offset), of what `channel_first` gave."""
        return self._product("im,oi->mo", x, self.weight)


def set_precision(model: nn.Cell, n_tokens: int, model_name: str) -> None:
    """Put the policy's number format into every `Linear` of a model, for a job of `n_tokens`."""
    for name, cell in model.cells_and_names():
        if isinstance(cell, Linear):
            low = policy().dtype == "bf16"
            kind = dtype_of(name, n_tokens, model_name, model.training)
            cell.bf16 = low and kind == "bf16"
