# SPDX-License-Identifier: Apache-2.0
"""The CPU kernels as MindSpore operators: one row of a table each, and when calling one pays.

`csrc/cpu/aot.cc` has the other side of the table: the signature that every call has to match.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from mindspore import Tensor, float32, ops

from protenix_ms.errors import ResourceError
from protenix_ms.ops.native import kernels_serve, library_path
from protenix_ms.runtime.gradient import recording
from protenix_ms.runtime.policy import policy
from protenix_ms.runtime.rows import is_large

WORTH_A_KERNEL = {
    "gate": 2**15,  # numbers; below, calling the kernel costs more than MindSpore's two passes
    "layer_norm": 2**13,  # numbers, which MindSpore normalises on one thread
    "layer_gradient": 2**11,  # positions; below, sums of weights' gradients outweigh the work
    "linear": 2 * 10**6,  # multiply-adds
    "outer_sum": 2**12,  # numbers, which MindSpore adds by a slow broadcast
    "product": 1,  # numbers
    "rotate": 2**10,  # numbers, which MindSpore turns in ten slow passes
    "whole_layer": 48,  # positions; below, packing the weights outweighs the work
}
"""The smallest work for which `pays` chooses a kernel."""


def _no_gradient(*inputs):
    raise NotImplementedError("this kernel has no gradient: ask `pays` first")


class Kernel(NamedTuple):
    """One entry point of the compiled library.

    Attributes:
        shapes: shapes of the outputs from the shapes of the inputs, settings included.
        outputs: how many; all are float32.
        gradient: gradients of the inputs from ``(*inputs, out, dout)``.
    """

    shapes: Callable
    outputs: int = 1
    gradient: Callable = _no_gradient


def _as_first(first, *others):
    return first


def _gradient_by(name: str) -> Callable:
    """Make a gradient that is another kernel, of the inputs and of the output's gradient."""
    def bprop(x, y, numbers, out, dout):
        return (*operator(name)(x, y, numbers, dout), ops.zeros_like(numbers))

    return bprop


def _turned_back(x, cos, sin, numbers, out, dout):
    dx = operator("rotate")(dout, cos, sin, settings(flag=True))
    return dx, ops.zeros_like(cos), ops.zeros_like(sin), ops.zeros_like(numbers)


def _layer_norm_gradient(x, weight, bias, numbers, out, dout):
    gradients = operator("layer_norm_grad")(x, weight, bias, numbers, dout)
    return (*gradients, ops.zeros_like(numbers))


def _transition_gradient(x, norm, offset, gate, value, output, numbers, out, dout):
    gradients = operator("transition_grad")(x, norm, offset, gate, value, output, numbers, dout)
    return (*gradients, ops.zeros_like(numbers))


def _attention_gradient(q, k, v, bias, mask, gate, numbers, out, dout):
    dq, dk, dv, dbias, dgate = operator("attention_grad")(
        q, k, v, bias, mask, gate, numbers, out[0], out[1], dout[0])
    return dq, dk, dv, dbias, ops.zeros_like(mask), dgate, ops.zeros_like(numbers)


PRODUCTS = {
    (False, False): "product", (False, True): "product_turned_b",
    (True, False): "product_turned_a", (True, True): "product_turned_both",
}
"""Kernels by whether a and b are transposed before ``a b``."""


def _product(turned_a: bool, turned_b: bool) -> Kernel:
    def shapes(a, b, numbers):
        return [*a[:-2], a[-1 if turned_a else -2], b[-2 if turned_b else -1]]

    def bprop(a, b, numbers, out, dout):
        if turned_a:
            da = operator(PRODUCTS[turned_b, True])(b, dout, numbers)
        else:
            da = operator(PRODUCTS[False, not turned_b])(dout, b, numbers)
        if turned_b:
            db = operator(PRODUCTS[True, turned_a])(dout, a, numbers)
        else:
            db = operator(PRODUCTS[not turned_a, False])(a, dout, numbers)
        return da, db, ops.zeros_like(numbers)

    return Kernel(shapes, 1, bprop)


def _channel_first(x, norm_weight, norm_bias, weight, numbers):
    count = 1
    for length in x[:-1]:
        count = count * length
    return [weight[0], count]


KERNELS = {
    "attention": Kernel(
        # log-sum-exp too, the order of whose axes only the kernel knows
        lambda q, *others: (q, q[:-1]), 2, _attention_gradient),
    "attention_grad": Kernel(lambda q, k, v, bias, mask, gate, *others: (q, k, v, bias, gate), 5),
    "window_attention": Kernel(_as_first),
    "layer_norm": Kernel(_as_first, 1, _layer_norm_gradient),
    "layer_norm_channel_first": Kernel(lambda x, *others: x[::-1], 1, _layer_norm_gradient),
    "layer_norm_grad": Kernel(lambda *inputs: inputs[:3], 3),
    "gate": Kernel(_as_first, 1, _gradient_by("gate_grad")),
    "gate_grad": Kernel(lambda *inputs: inputs[:2], 2),
    "rotate": Kernel(_as_first, 1, _turned_back),
    "outer_sum": Kernel(lambda a, b, numbers: [a[0], *b], 1, _gradient_by("outer_sum_grad")),
    "outer_sum_grad": Kernel(lambda *inputs: inputs[:2], 2),
    **{name: _product(*turned) for turned, name in PRODUCTS.items()},
    "linear": Kernel(lambda x, weight, *others: [x[0], weight[0]]),
    "projection": Kernel(_channel_first),
    "transition": Kernel(_as_first, 1, _transition_gradient),
    "transition_grad": Kernel(lambda *inputs: inputs[:6], 6),
    "edges": Kernel(lambda x, norm, offset, weight, *others: ([weight[0], *x[:2]],) * 2, 2),
    "gated_output": Kernel(_as_first),
    "triangle_attention": Kernel(_as_first),
    "outer_product": Kernel(_as_first),
    "qkvg": Kernel(lambda x, *others: (x,) * 4, 4),
    "attended": Kernel(_as_first),
    "conditioned_transition": Kernel(_as_first),
    "smooth_lddt": Kernel(lambda x, *others: (x[:2], x, x[1:2]), 3),
}


class NativeOperator(ops.Custom):
    """A kernel of the table, right in PyNative, in `jit` and for gradients.

    Args:
        name: key of `KERNELS`.
        over: write over the first input; the result is then the address of what was written.

    Raises:
        ResourceError: without the compiled library; ask `kernels_serve` first.
    """

    def __init__(self, name: str, over: bool = False) -> None:
        path, kernel = library_path(), KERNELS[name]
        if path is None:
            raise ResourceError("the CPU kernels are not available", fix="install a C++ compiler")
        entry = name.removesuffix("_channel_first")
        types = float32 if kernel.outputs == 1 else (float32,) * kernel.outputs
        super().__init__(
            f"{path}:pms_ms_{entry}", (lambda *_: [2]) if over else kernel.shapes, lambda *_: types,
            func_type="aot", bprop=kernel.gradient)
        if over:
            self.add_prim_attr("over", True)  # or MindSpore takes one for the other


@cache  # for ever, since a graph keeps only the name of an operator alive
def operator(name: str, over: bool = False) -> NativeOperator:
    """Return the operator of a kernel."""
    return NativeOperator(name, over)


@cache
def _settings(number: float, threads: int, flag: bool) -> Tensor:
    return Tensor.from_numpy(np.array([number, threads, flag], np.float32))


def settings(number: float = 0.0, flag: bool = False) -> Tensor:
    """Make the last input of a kernel; the threads are those of the policy in force.

    Args:
        number: scale of logits, or epsilon.
        flag: whether the layout, or the formula, is the other one of the two that it knows.
    """
    return _settings(number, policy().threads, flag)


@lru_cache(maxsize=0)  # keeps nothing; but a graph calls it while compiling, and does not parse it
def pays(name: str, work: int, exact: bool, trains: bool = False) -> bool:
    """Decide whether a kernel serves here: the policy wants it and the work is worth a call.

    Args:
        name: key of `WORTH_A_KERNEL`.
        work: in the unit of that table.
        exact: whether all inputs are float32.
        trains: whether the kernel has a gradient; without one it only serves in prediction.
    """
    return (exact and work >= WORTH_A_KERNEL[name] and kernels_serve()
            and (trains or not recording()))


def layer_pays(x: Tensor, trains: bool = False) -> bool:
    """Decide whether a whole layer of `x`, ``[..., c]``, runs as kernels.

    Args:
        trains: whether they have gradients; without, they only serve in prediction.
    """
    work = "layer_gradient" if recording() else "whole_layer"
    return pays(work, x.size // x.shape[-1], x.dtype == float32, trains)


def add_layer(name: str, x: Tensor, *others: Tensor) -> Tensor:
    """Add to `x` a whole layer of it; a large `x` is written over: there is one pair, not two.

    The kernel then returns the address at which it wrote. MindSpore hands over a copy of a view,
    even of the whole of a tensor, and in that case the result has to be an array of its own.
    """
    # a graph drops what nobody reads, and a gradient reads x
    if is_large(x.shape) and not policy().compiles and not recording():
        address = operator(name, True)(x, *others).asnumpy().view(np.uint64)[0]
        if address == x.data_ptr():
            return x
    return operator(name)(x, *others)
