# SPDX-License-Identifier: Apache-2.0
"""Rotary positions and the gelu of a projection: kernels against float64 and the plain forms."""

import mindspore
import numpy as np
import pytest
from mindspore import Tensor
from scipy.special import erfc

from protenix_ms.ops import functional
from protenix_ms.ops.kernels import WORTH_A_KERNEL, operator, settings
from protenix_ms.runtime.policy import Policy, using


def normal(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


@pytest.fixture
def always(kernels, monkeypatch):
    for name in ("rotate", "linear"):
        monkeypatch.setitem(WORTH_A_KERNEL, name, 1)


@pytest.mark.parametrize("shape", [(1, 1, 2), (7, 3, 24), (130, 5, 64)])
def test_rotation(always, shape):
    x, angles = normal(*shape), normal(shape[0], shape[2] // 2) * 100
    cos, sin = Tensor(np.cos(angles)), Tensor(np.sin(angles))
    pairs = x[..., : shape[2] // 2] + 1j * x[..., shape[2] // 2 :].astype(np.complex128)
    turned = pairs * np.exp(1j * angles.astype(np.float64))[:, None]
    exact = np.concatenate([turned.real, turned.imag], -1)
    weight = Tensor(normal(*shape)[::-1].copy())

    def total(x):
        return (functional.rotate(x, cos, sin) * weight).sum()

    results = []
    for policy in (Policy(threads=1), Policy(threads=2), Policy(kernels=False)):
        with using(policy):
            ours = functional.rotate(Tensor(x), cos, sin).asnumpy()
            results.append((ours, mindspore.grad(total)(Tensor(x)).asnumpy()))
        np.testing.assert_allclose(ours, exact, atol=2e-6)
        np.testing.assert_allclose(results[-1][1], results[0][1], atol=2e-6)
    assert results[0][0].tobytes() == results[1][0].tobytes()


def test_gelu_keeps_both_tails(always):
    """Times -1 and 1, with an offset of 0: the argument itself comes through the product."""
    x = np.linspace(-12, 12, 4801, dtype=np.float32)[:, None]
    weight, bias = np.array([[1.0], [-1.0]], np.float32), np.zeros(2, np.float32)
    y = np.concatenate([x, -x], 1).astype(np.float64)
    exact = y / 2 * erfc(-y / np.sqrt(2))
    ours = functional.linear_gelu(Tensor(x), Tensor(weight), Tensor(bias)).asnumpy()
    np.testing.assert_allclose(ours, exact, rtol=3e-7, atol=1e-6)
    small = np.abs(y) < 6
    np.testing.assert_allclose(ours[small], exact[small], rtol=1e-5, atol=0)
    with using(Policy(kernels=False)):
        plain = functional.linear_gelu(Tensor(x), Tensor(weight), Tensor(bias)).asnumpy()
    np.testing.assert_allclose(plain, exact, rtol=3e-7, atol=2e-6)


@pytest.mark.parametrize("shape", [(5, 7, 3), (300, 96, 400)])
def test_gelu_follows_the_projection(always, shape):
    m, c, h = shape
    x, weight, bias = Tensor(normal(m, c)), Tensor(normal(h, c)), Tensor(normal(h))
    flat = operator("linear")(x, weight, bias, settings()).asnumpy().astype(np.float64)
    ours = functional.linear_gelu(x, weight, bias).asnumpy()
    np.testing.assert_allclose(ours, flat / 2 * erfc(-flat / np.sqrt(2)), rtol=1e-5, atol=1e-6)


def test_gelu_of_nothing_finite(always):
    x = Tensor(np.array([[np.nan], [np.inf]], np.float32))
    one = Tensor(np.ones((1, 1), np.float32))
    ours = functional.linear_gelu(x, one, Tensor(np.zeros(1, np.float32))).asnumpy()
    assert np.isnan(ours[0]) and not np.isfinite(ours[1])
