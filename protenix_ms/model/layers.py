# SPDX-License-Identifier: Apache-2.0
"""Layers that the whole network is made of: projections, norms, the transition.

Parameters take no memory until a checkpoint fills them; their names are upstream's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from protenix_ms.model.residual import Residual
from protenix_ms.ops.functional import bf16_einsum, for_samples, gated, layer_norm, linear, swiglu
from protenix_ms.runtime.policy import policy
from protenix_ms.runtime.precision import dtype_of
from protenix_ms.typing import Float

Init = Literal["default", "relu", "zeros"]

_bias_add = ops.BiasAdd()


def empty_parameter(shape: tuple[int, ...], fill: float = 0.0) -> Parameter:
    """Make a float32 parameter full of `fill`.

    The system provides pages of zeros when they are first written, so that an unloaded model
    takes no memory and no time (MindSpore's own initialisers write every value).
    """
    data = np.full(shape, fill, np.float32) if fill else np.zeros(shape, np.float32)
    return Parameter(Tensor.from_numpy(data))


class Linear(nn.Cell):
    """Computes ``y = x W^T + b`` as one two-dimensional matrix product.

    Args:
        c_in, c_out: input and output channels.
        bias: whether there is an offset (initially zero, or `bias_init`).
        init: initial distribution of the weight for training from scratch, in upstream's words:
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
        if self.bf16:
            flat = bf16_einsum("mi,oi->mo", flat, self.weight)
            if self.bias is not None:
                flat = _bias_add(flat, self.bias.astype(flat.dtype))
        else:
            flat = linear(flat, self.weight, self.bias)
        return ops.reshape(flat, (*x.shape[:-1], self.weight.shape[0]))


class LayerNorm(nn.Cell):
    """Normalises over the last axis (epsilon 1e-5), in fp32; the result has the input's dtype.

    Args:
        c: channels.
        scale, offset: whether there is a `weight` and a `bias`; upstream's files hold no entry
            for one that is absent.
    """

    def __init__(self, c: int, scale: bool = True, offset: bool = True) -> None:
        super().__init__()
        self.weight = empty_parameter((c,), 1.0) if scale else None
        self.bias = empty_parameter((c,)) if offset else None

    def construct(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        return self.normalise(layer_norm, x)

    def normalise(self, norm: Callable[..., Tensor], x: Float[Tensor, "..."]) -> Tensor:
        """Call ``norm(x, weight, bias)`` in fp32, whatever the dtype of `x`."""
        if x.dtype == mindspore.float32:
            return norm(x, self.weight, self.bias)
        # upstream's norms take weights with the precision of the input
        weight, bias = (
            p if p is None else p.astype(x.dtype).astype(mindspore.float32)
            for p in (self.weight, self.bias)
        )
        return norm(x.astype(mindspore.float32), weight, bias).astype(x.dtype)


class AdaptiveLayerNorm(nn.Cell):
    """Normalises `a`, then scales and shifts it by `s` (AdaLN, AF3 Algorithm 26).

    Inputs: a ``[b, n, c_a]``, s ``[b or 1, n, c_s]``. Outputs: ``[b, n, c_a]``.
    """

    def __init__(self, c_a: int, c_s: int) -> None:
        super().__init__()
        self.layernorm_a = LayerNorm(c_a, scale=False, offset=False)
        self.layernorm_s = LayerNorm(c_s, offset=False)
        self.linear_s = Linear(c_s, c_a, bias=True, init="zeros")
        self.linear_nobias_s = Linear(c_s, c_a, init="zeros")

    def construct(
        self, a: Float[Tensor, "b n c_a"], s: Float[Tensor, "_ n c_s"],
    ) -> Float[Tensor, "b n c_a"]:
        scale, shift = (for_samples(x, a.shape[0]) for x in self.adapting(s))
        return gated(self.layernorm_a(a), scale) + shift

    def adapting(
        self, s: Float[Tensor, "_ n c_s"],
    ) -> tuple[Float[Tensor, "_ n c_a"], Float[Tensor, "_ n c_a"]]:
        """Return the scale, before its sigmoid, and the shift."""
        s = self.layernorm_s(s)
        return self.linear_s(s), self.linear_nobias_s(s)


class Transition(Residual):
    """Adds a SwiGLU transition with expansion `n` (AF3 Algorithm 11)."""

    def __init__(self, c: int, n: int) -> None:
        super().__init__()
        self.layernorm1 = LayerNorm(c)
        self.linear_no_bias_a = Linear(c, n * c, init="relu")
        self.linear_no_bias_b = Linear(c, n * c, init="relu")
        self.linear_no_bias = Linear(n * c, c, init="zeros")

    def update(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        """Compute the update, with `n` times the channels between."""
        x = self.layernorm1(x)
        a, b = self.linear_no_bias_a(x), self.linear_no_bias_b(x)
        return self.linear_no_bias(swiglu(b, gate=a))


def set_precision(model: nn.Cell, n_tokens: int, model_name: str) -> None:
    """Set the number format of every `Linear` of a model for a job of `n_tokens`, by the policy."""
    low = policy().dtype == "bf16"
    for name, cell in model.cells_and_names():
        if isinstance(cell, Linear):
            cell.bf16 = low and dtype_of(name, n_tokens, model_name, model.training) == "bf16"
