# SPDX-License-Identifier: Apache-2.0
"""Linear projection, and parameters that take no memory until a checkpoint fills them."""

from __future__ import annotations

from typing import Literal

import mindspore
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Constant

from protenix_ms.typing import Float

Init = Literal["default", "relu", "zeros"]

_matmul = ops.MatMul(transpose_b=True)
_matmul_transposed = ops.MatMul(transpose_a=True, transpose_b=True)
_bias_add = ops.BiasAdd()


def empty_parameter(shape: tuple[int, ...], fill: float = 0.0) -> Parameter:
    """A float32 parameter that is a promise: memory is taken when it is loaded or first used."""
    return Parameter(Tensor(shape=shape, dtype=mindspore.float32, init=Constant(fill)))


class Linear(nn.Cell):
    """``y = x W^T + b``, as one two-dimensional matrix multiplication.

    Args:
        c_in, c_out: input and output channels.
        bias: whether there is an offset (initially zero, or `bias_init`).
        init: initial distribution of the weight for training from scratch, upstream's words:
            "default" truncated normal of variance 1/c_in, "relu" 2/c_in, "zeros".
        bias_init: initial value of the offset.

    Inputs: x ``[..., c_in]``. Outputs: ``[..., c_out]``.
    """

    def __init__(
        self, c_in: int, c_out: int, bias: bool = False, init: Init = "default",
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.init = init
        self.weight = empty_parameter((c_out, c_in))
        self.bias = empty_parameter((c_out,), bias_init) if bias else None

    def construct(self, x: Float[Tensor, "*b c_in"]) -> Float[Tensor, "*b c_out"]:
        flat = _matmul(ops.reshape(x, (-1, x.shape[-1])), self.weight)
        if self.bias is not None:
            flat = _bias_add(flat, self.bias)
        return ops.reshape(flat, (*x.shape[:-1], self.weight.shape[0]))

    def channel_first(self, x: Float[Tensor, "m c_in"]) -> Float[Tensor, "c_out m"]:
        """``W x^T`` (no offset): the transpose comes out of the matrix product, at no cost."""
        return _matmul(self.weight, x)

    def from_channel_first(self, x: Float[Tensor, "c_in m"]) -> Float[Tensor, "m c_out"]:
        """``x^T W^T`` (no offset), of what `channel_first` gave."""
        return _matmul_transposed(x, self.weight)
