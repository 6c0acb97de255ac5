# SPDX-License-Identifier: Apache-2.0
"""Attention by the fused C++ kernel: no logits in memory, its own gradient.

Importing this module needs the compiled library: ask `native.library_path` first.
"""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, ops

from protenix_ms.ops.native_operator import NativeOperator, settings
from protenix_ms.runtime.policy import policy
from protenix_ms.typing import Bool, Float

_absent = Tensor.from_numpy(np.zeros(1, np.float32))  # of rank 1, unlike any input that is there


def _forward_shapes(q, k, v, bias, mask, gate, numbers):
    """The output, and log-sum-exp, the order of whose axes only the kernel knows."""
    return q, q[:-1]


def _backward_shapes(q, k, v, bias, mask, gate, *others):
    return q, k, v, bias, gate


def bprop(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor, gate: Tensor, numbers: Tensor,
    out: tuple, dout: tuple,
) -> tuple:
    """Gradients of every input; MindSpore prescribes the arguments."""
    dq, dk, dv, dbias, dgate = _attention_grad(
        q, k, v, bias, mask, gate, numbers, out[0], out[1], dout[0]
    )
    return dq, dk, dv, dbias, ops.zeros_like(mask), dgate, ops.zeros_like(numbers)


def swapped(x: Tensor) -> bool:
    """Whether x is a view of a buffer in which rows and tokens change places."""
    return not x.is_contiguous() and x.swapaxes(1, 2).is_contiguous()


class _Attention(NativeOperator):
    """The forward kernel.

    The ending node of triangle attention comes as views with rows and tokens swapped. PyNative,
    which alone calls `__call__`, then reads the buffers as they are and returns such a view
    again; a graph has real transposes.
    """

    def __call__(self, q, k, v, bias, mask, gate, numbers):
        there = (q, k, v) if gate is _absent else (q, k, v, gate)
        if not all(swapped(x) for x in there):
            return super().__call__(q, k, v, bias, mask, gate, numbers)
        q, k, v, *gates = (x.swapaxes(1, 2) for x in there)
        scale, threads, _ = numbers.asnumpy().tolist()
        ending = settings(scale, int(threads), True)
        out, lse = super().__call__(q, k, v, bias, mask, gates[0] if gates else gate, ending)
        return out.swapaxes(1, 2), lse


_attention = _Attention("attention", _forward_shapes, 2, bprop)
_attention_grad = NativeOperator("attention_grad", _backward_shapes, 5)


def _as_first(first, *others):
    return first


def _no_gradient(*inputs):
    raise NotImplementedError("windows in place have no gradient; `windows_in_place` was not asked")


_window_attention = NativeOperator("window_attention", _as_first, 1, _no_gradient)


def kernel_window_attention(
    q: Float[Tensor, "b a h d"],
    k: Float[Tensor, "b a h d"],
    v: Float[Tensor, "b a h d"],
    gate: Float[Tensor, "b a h d"],
    bias: Float[Tensor, "w h q k"],
) -> Float[Tensor, "b a h d"]:
    """Attention within windows of `q` tokens and the `k` around them, which are read where they
    are: neither padded nor gathered. See `evoformer_attention`."""
    numbers = settings(q.shape[-1] ** -0.5, policy().threads, False)
    return _window_attention(q, k, v, gate, bias, numbers)


def kernel_attention(
    q: Float[Tensor, "b r q h d"],
    k: Float[Tensor, "b r k h d"],
    v: Float[Tensor, "b r k h d"],
    pair_bias: Float[Tensor, "_ _ h q k"] | None,
    mask: Bool[Tensor, "_ r 1 1 k"] | Float[Tensor, "_ r 1 1 k"] | None,
    scale: float,
    gate: Float[Tensor, "b r q h d"] | None = None,
) -> Float[Tensor, "b r q h d"]:
    """See `evoformer_attention`; a float mask is added to the logits, -1e8 or less is absent."""
    if mask is not None:
        mask = ops.reshape(mask, (mask.shape[0], mask.shape[1], mask.shape[4]))
    return _attention(
        q, k, v,
        _absent if pair_bias is None else pair_bias,
        _absent if mask is None else mask,
        _absent if gate is None else gate,
        settings(scale, policy().threads, False),
    )[0]
