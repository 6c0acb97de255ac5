# SPDX-License-Identifier: Apache-2.0
"""The kernels as MindSpore operators against their pure twins: PyNative, jit, gradients, views.

Gradients are compared in every mode because an operator without one gives zeros silently.
"""

import re
from dataclasses import replace

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, ops

from protenix_ms.ops import compile_kernels, functional
from protenix_ms.ops.evoformer_attention import reference
from protenix_ms.ops.kernels import (
    KERNELS,
    WORTH_A_KERNEL,
    NativeOperator,
    operator,
    settings,
)
from protenix_ms.runtime.policy import policy, using

MODES = {
    "pynative": lambda f, at: mindspore.grad(f, at),
    "jit of grad": lambda f, at: mindspore.jit(mindspore.grad(f, at)),
    "grad of jit": lambda f, at: mindspore.grad(mindspore.jit(f), at),
}
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _library(kernels):
    """Skip where there is no compiler."""


def normal(*shape):
    return Tensor.from_numpy(RNG.standard_normal(shape).astype(np.float32))


def assert_close(ours, expected, tolerance=2e-6):
    for a, b in zip(ours, expected):
        a, b = a.asnumpy(), b.asnumpy()
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max())


def composed(q, k, v, bias, mask, scale, gate=None):
    o = reference.reference_attention(q, k, v, bias, mask, scale)
    return o if gate is None else o * ops.sigmoid(gate)


def some_mask(*shape):
    keep = RNG.random((*shape[:2], 1, 1, shape[-1])) < 0.7
    keep[:, 0] = False  # a row without keys
    return Tensor.from_numpy(keep)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("parts", ["bias", "bias, mask, gate", "nothing"])
def test_attention_gradients(mode, parts):
    from protenix_ms.ops.evoformer_attention.cpu import kernel_attention

    q, k, v, gate, target = (normal(2, 3, 9, 2, 24) for _ in range(5))
    mask = some_mask(1, 3, 9) if "mask" in parts else None
    inputs = [q, k, v]
    inputs += [normal(1, 1, 2, 9, 9)] if "bias" in parts else []
    inputs += [gate] if "gate" in parts else []

    def loss(function):
        def weighted_sum(q, k, v, bias=None, gate=None):
            return (function(q, k, v, bias, mask, 0.2, gate) * target).sum()

        return weighted_sum

    at = tuple(range(len(inputs)))
    ours = MODES[mode](loss(kernel_attention), at)(*inputs)
    expected = mindspore.grad(loss(composed), at)(*inputs)
    assert all(np.abs(g.asnumpy()).max() > 1e-3 for g in ours)
    assert_close(ours, expected)


def test_attention_reads_an_ending_node_in_place():
    from protenix_ms.ops.evoformer_attention.cpu import kernel_attention, swapped

    buffers = [normal(11, 5, 4, 32) for _ in range(4)]
    bias = ops.transpose(normal(1, 1, 4, 11, 11), (0, 1, 2, 4, 3))

    def loss(function):
        def weighted_sum(*tensors):
            views = [ops.expand_dims(ops.transpose(t, (1, 0, 2, 3)), 0) for t in tensors]
            assert all(swapped(x) for x in views)
            o = function(*views[:3], bias, None, 0.2, views[3])
            assert o.shape == (1, 5, 11, 4, 32)
            return (o * ops.expand_dims(ops.transpose(buffers[0], (1, 0, 2, 3)), 0)).sum()

        return weighted_sum

    ours = mindspore.grad(loss(kernel_attention), (0, 1, 2, 3))(*buffers)
    assert_close(ours, mindspore.grad(loss(composed), (0, 1, 2, 3))(*buffers))


def test_attention_takes_any_view():
    from protenix_ms.ops.evoformer_attention.cpu import kernel_attention

    q = normal(2, 2, 3, 9, 24).swapaxes(2, 3)  # heads and tokens swapped: strange to the kernel
    k = normal(3, 2, 9, 3, 24)[1:]
    v = normal(2, 9, 2, 3, 24).swapaxes(1, 2)  # alone in being swapped
    bias, mask = normal(2, 9, 9, 3).transpose(0, 3, 1, 2).expand_dims(1), some_mask(2, 2, 9)
    inputs = (q, k, v, bias, mask, 0.3)
    assert_close([kernel_attention(*inputs)], [composed(*inputs)])


def test_attention_with_an_additive_mask():
    from protenix_ms.ops.evoformer_attention.cpu import kernel_attention

    q, k, v = (normal(1, 2, 5, 2, 16) for _ in range(3))
    mask = normal(1, 2, 1, 1, 5)
    logits = ops.broadcast_to(mask, (1, 2, 2, 5, 5))
    ours = kernel_attention(q, k, v, None, mask, 0.25)
    assert_close([ours], [composed(q, k, v, logits, None, 0.25)])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("layout", ["last", "first"])
def test_layer_norm_gradients(mode, layout, monkeypatch):
    x = normal(3, 5, 24) if layout == "last" else normal(24, 15)
    weight, bias = normal(24), normal(24)
    target = normal(3, 5, 24) if layout == "last" else normal(15, 24)
    norm = {"last": functional.layer_norm, "first": functional.layer_norm_channel_first}[layout]

    def loss(x, weight, bias):
        return (norm(x, weight, bias) * target).sum()

    monkeypatch.setitem(WORTH_A_KERNEL, "layer_norm", 1)
    ours = [norm(x, weight, bias), *MODES[mode](loss, (0, 1, 2))(x, weight, bias)]
    with using(replace(policy(), kernels=False)):
        pure = [norm(x, weight, bias), *mindspore.grad(loss, (0, 1, 2))(x, weight, bias)]
    assert_close(ours[:1], pure[:1])
    assert_close(ours[1:], pure[1:], 5e-6)


def test_layer_norm_of_a_view():
    x, ones, zeros = normal(6, 4, 16).swapaxes(0, 1), ops.ones(16), ops.zeros(16)
    ours = operator("layer_norm")(x, ones, zeros, settings(1e-5))
    assert_close([ours], [functional.layer_norm(x)])


def test_other_dtypes_are_refused_not_misread():
    half = normal(4, 8).astype(mindspore.float16)
    with pytest.raises(RuntimeError):
        operator("layer_norm")(half, ops.ones(8), ops.zeros(8), settings(1e-5)).asnumpy()


def test_wrong_shapes_are_refused_not_read_beyond():
    from protenix_ms.ops.evoformer_attention.cpu import _absent

    q, k, numbers = normal(1, 2, 5, 2, 16), normal(1, 2, 7, 2, 16), settings(0.3)
    for tensors in (
        (q, k, q, _absent, _absent, _absent),
        (q, k, k, normal(1, 1, 2, 5, 6), _absent, _absent),
        (q, k, k, normal(1, 3, 2, 5, 7), _absent, _absent),
        (q, k, k, _absent, normal(1, 2, 5), _absent),
        (q, k, k, _absent, _absent, k),
    ):
        with pytest.raises(RuntimeError):
            operator("attention")(*tensors, numbers)[0].asnumpy()


MISFITS = {  # inputs that fit, and inputs that do not; second is the flag
    ("gate", False): (((3, 4), (3, 4)), [((3, 4), (3, 5)), ((3, 4), (3,))]),
    ("outer_sum", False): (((3, 4), (5, 4)), [((3, 4), (5, 3)), ((3, 4, 1), (5, 4)), ((4,), (4,))]),
    ("layer_norm", False): (((3, 5, 4), (4,), (4,)), [
        ((3, 4), (5,), (4,)), ((3, 4), (4,), (3,)), ((3, 4), (4, 1), (4,))]),
    ("layer_norm_channel_first", True): (((4, 3), (4,), (4,)), [
        ((3, 4), (4,), (4,)), ((4, 3, 1), (4,), (4,)), ((4, 3), (4,), (3,))]),
    ("smooth_lddt", False): (((2, 5, 3), (5, 3), (5,), (5,)), [
        ((2, 5, 3), (4, 3), (5,), (5,)), ((2, 5, 3), (5, 3), (5,), (4,)),
        ((2, 5, 4), (5, 4), (5,), (5,)), ((5, 3), (5, 3), (5,), (5,))]),
    ("window_attention", False): (((1, 70, 2, 16),) * 4 + ((3, 2, 32, 128),), [
        ((1, 70, 2, 16),) * 4 + ((2, 2, 32, 128),), ((1, 70, 2, 16),) * 4 + ((3, 2, 32, 31),),
        ((1, 70, 2, 16),) * 3 + ((1, 70, 2, 8), (3, 2, 32, 128))]),
    ("rotate", False): (((5, 2, 6), (5, 3), (5, 3)), [
        ((5, 2, 6), (5, 6), (5, 6)), ((5, 2, 6), (4, 3), (4, 3)), ((5, 12), (5, 3), (5, 3)),
        ((5, 2, 6), (5, 3), (5, 2))]),
    ("gate_grad", False): (((6,), (6,), None, (6,)), [((6,), (6,), None, (5,))]),
    ("outer_sum_grad", False): (((3, 4), (5, 4), None, (3, 5, 4)), [
        ((3, 4), (5, 4), None, (5, 3, 4)), ((3, 4), (5, 4), None, (15, 4))]),
    ("layer_norm_grad", False): (((6, 4), (4,), (4,), None, (6, 4)), [
        ((6, 4), (4,), (4,), None, (6, 3)), ((6, 4), (4,), (4,), None, (5, 4))]),
    ("layer_norm_grad", True): (((4, 6), (4,), (4,), None, (6, 4)), [
        ((4, 6), (4,), (4,), None, (4, 6))]),
}


@pytest.mark.parametrize("name, flag", MISFITS)
def test_shapes_that_do_not_fit_are_refused(name, flag):
    """None in the shapes stands for the settings, which are last otherwise."""
    def call(shapes, numbers):
        tensors = [numbers if shape is None else normal(*shape) for shape in shapes]
        y = operator(name)(*tensors, *(() if None in shapes else (numbers,)))
        return (y[0] if isinstance(y, tuple) else y).asnumpy()

    fitting, misfits = MISFITS[name, flag]
    assert np.isfinite(call(fitting, settings(0.1, flag))).all()
    for shapes in misfits:
        with pytest.raises((RuntimeError, ValueError, IndexError)):
            call(shapes, settings(0.1, flag))
            pytest.fail(f"{name} took {shapes}")
    for numbers in (normal(2), normal(3, 1)):
        with pytest.raises(RuntimeError):
            call(fitting, numbers)


def test_the_table_lists_the_operators_of_the_library():
    source = (compile_kernels.SOURCES / "aot.cc").read_text(encoding="utf-8")
    operators = set(re.findall(r"^PMS_OPERATOR\((\w+)", source, re.M))
    assert operators == {name.removesuffix("_channel_first") for name in KERNELS}


def test_the_policy_sets_the_threads():
    from protenix_ms.ops.evoformer_attention.cpu import kernel_attention

    inputs = [normal(1, 16, 64, 4, 32) for _ in range(3)]
    results = []
    for threads in (1, 2):
        with using(replace(policy(), threads=threads)):
            results.append(kernel_attention(*inputs, None, None, 0.2).asnumpy().tobytes())
    assert results[0] == results[1]


def test_dispatch_inside_jit(monkeypatch):
    from protenix_ms.ops.evoformer_attention import evoformer_attention

    monkeypatch.setitem(WORTH_A_KERNEL, "layer_norm", 1)

    def block(x, bias):
        normed = ops.reshape(functional.layer_norm(x), (1, 3, 9, 2, 12))
        columns = functional.layer_norm_channel_first(ops.reshape(x, (24, 27)))
        o = evoformer_attention(normed, normed, normed, bias)
        return (ops.reshape(o, (27, 24)) * columns).square().sum()

    inputs = normal(3, 9, 24), normal(1, 1, 2, 9, 9)
    ours = mindspore.jit(mindspore.grad(block, (0, 1)))(*inputs)
    with using(replace(policy(), kernels=False)):
        assert_close(ours, mindspore.grad(block, (0, 1))(*inputs), 1e-5)


def test_dispatch_follows_the_policy(monkeypatch):
    from protenix_ms.ops.evoformer_attention import evoformer_attention

    calls = []
    original = NativeOperator.__call__
    monkeypatch.setattr(
        NativeOperator, "__call__",
        lambda self, *a: calls.append(1) or original(self, *a),
    )
    q, k, v, gate = (normal(1, 2, 5, 2, 16) for _ in range(4))
    fused = evoformer_attention(q, k, v, gate=gate)
    assert calls == [1]
    with using(replace(policy(), kernels=False)):
        pure = evoformer_attention(q, k, v, gate=gate)
    assert calls == [1]
    assert_close([fused], [pure])
