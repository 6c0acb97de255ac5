# SPDX-License-Identifier: Apache-2.0
"""Gates and outer sums: the C kernels against float64, the bound operators against their twins."""

from dataclasses import replace

import mindspore
import numpy as np
import pytest
from mindspore import Tensor

from protenix_ms.ops import functional
from protenix_ms.ops.kernels import WORTH_A_KERNEL
from protenix_ms.runtime.policy import policy, using

MODES = {
    "pynative": lambda f: mindspore.grad(f, (0, 1)),
    "jit of grad": lambda f: mindspore.jit(mindspore.grad(f, (0, 1))),
    "grad of jit": lambda f: mindspore.grad(mindspore.jit(f), (0, 1)),
}


def normal(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("isa", ["plain", "avx2", "avx512"])
@pytest.mark.parametrize("size", [1, 37, 2**14 + 5])
@pytest.mark.parametrize("swish", [False, True])
def test_gate_equals_float64(kernels, swish, size, isa):
    if isa not in kernels.isas():
        pytest.skip(f"this machine has no {isa}")
    x, gate, dy = np.random.default_rng(0).standard_normal((3, size)).astype(np.float32)
    gate[0] = -200.0  # far outside the range of exp
    g = gate.astype(np.float64)
    opened = 0.5 + 0.5 * np.tanh(g / 2)
    slope = opened * (1 + g * (1 - opened)) if swish else opened * (1 - opened)
    factor = g * opened if swish else opened
    for ours, exact in zip(
        kernels.gate(x, gate, dy, swish, isa), (x * factor, dy * factor, dy * x * slope)
    ):
        np.testing.assert_allclose(ours, exact, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("isa", ["plain", "avx2", "avx512"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (17, 9, 48)])
def test_outer_sum_equals_float64(kernels, shape, isa):
    if isa not in kernels.isas():
        pytest.skip(f"this machine has no {isa}")
    n, m, c = shape
    left, right, dy = normal(n, c), normal(c, m).T.copy(), normal(n, m, c)
    y, dleft, dright = kernels.outer_sum(left, right, dy, isa)
    assert np.array_equal(y, left[:, None] + right)
    np.testing.assert_allclose(dleft, dy.sum(1, dtype=np.float64), atol=5e-6)
    np.testing.assert_allclose(dright, dy.sum(0, dtype=np.float64), atol=5e-6)


def test_threads_do_not_change_a_bit(kernels):
    x, gate, dy = np.random.default_rng(0).standard_normal((3, 10**6)).astype(np.float32)
    pairs = x.reshape(100, 100, 100)
    results = [
        [a.tobytes() for a in (*kernels.gate(x, gate, dy, True, threads=t),
                               *kernels.outer_sum(pairs[0], pairs[1], pairs, threads=t))]
        for t in (1, 2, 5)
    ]
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["gated", "swiglu", "outer_sum"])
def test_gradients_of_kernel_and_twin(kernels, name, mode, monkeypatch):
    function = getattr(functional, name)
    monkeypatch.setitem(WORTH_A_KERNEL, "outer_sum" if name == "outer_sum" else "gate", 1)
    a = Tensor.from_numpy(normal(6, 24))
    b = Tensor.from_numpy(normal(24, 6).T.copy())
    target = Tensor.from_numpy(normal(6, 6, 24) if name == "outer_sum" else normal(6, 24) + 1)

    def loss(a, b):
        return (function(a, b) * target).sum()

    ours = [function(a, b), *MODES[mode](loss)(a, b)]
    with using(replace(policy(), kernels=False)):
        expected = [function(a, b), *mindspore.grad(loss, (0, 1))(a, b)]
    for x, y in zip(ours, expected):
        assert np.abs(y.asnumpy()).max() > 0.1
        np.testing.assert_allclose(x.asnumpy(), y.asnumpy(), rtol=1e-5, atol=5e-6)


def test_a_shared_gate_is_left_to_mindspore(kernels, monkeypatch):
    monkeypatch.setitem(WORTH_A_KERNEL, "gate", 1)
    x, gate = Tensor.from_numpy(normal(3, 4, 5)), Tensor.from_numpy(normal(1, 4, 5))
    expected = x.asnumpy() / (1 + np.exp(-gate.asnumpy()))
    np.testing.assert_allclose(functional.gated(x, gate).asnumpy(), expected, rtol=1e-5, atol=1e-6)
