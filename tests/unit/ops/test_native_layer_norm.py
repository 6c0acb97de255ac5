# SPDX-License-Identifier: Apache-2.0
"""The C layer norm kernel against float64 numpy: widths, tails, both layouts, threads."""

import numpy as np
import pytest


def exact(x, weight, bias):
    x = x.astype(np.float64)
    unit = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return unit * weight + bias


def exact_gradients(x, weight, dy):
    x, dy = x.astype(np.float64), dy.astype(np.float64)
    inverse = 1 / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    unit = (x - x.mean(-1, keepdims=True)) * inverse
    g = dy * weight
    along = (g * unit).mean(-1, keepdims=True)
    return (g - g.mean(-1, keepdims=True) - unit * along) * inverse, (dy * unit).sum(0), dy.sum(0)


def arrays(count, channels, mean=0.0):
    rng = np.random.default_rng(count)
    x = rng.standard_normal((count, channels)).astype(np.float32) + np.float32(mean)
    return x, *rng.standard_normal((2, channels)).astype(np.float32), x[::-1] - np.float32(mean)


@pytest.mark.parametrize("isa", ["plain", "avx2", "avx512"])
@pytest.mark.parametrize("channel_first", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (65, 16), (200, 24), (131, 449), (4097, 64)])
def test_kernel_equals_float64(kernels, shape, channel_first, isa):
    if isa not in kernels.isas():
        pytest.skip(f"this machine has no {isa}")
    x, weight, bias, dy = arrays(*shape)
    source = np.ascontiguousarray(x.T) if channel_first else x
    y = kernels.layer_norm(source, weight, bias, channel_first, isa)
    np.testing.assert_allclose(y, exact(x, weight, bias), atol=5e-6)
    dy = np.ascontiguousarray(dy)
    dx, dweight, dbias = kernels.layer_norm_backward(source, weight, dy, channel_first, isa)
    for ours, expected in zip(
        (dx.T if channel_first else dx, dweight, dbias), exact_gradients(x, weight, dy)
    ):
        assert np.abs(ours - expected).max() <= 5e-6 * max(1.0, np.abs(expected).max())


def test_absent_weights_and_a_large_mean(kernels):
    x, *_ = arrays(50, 128, mean=1000.0)
    np.testing.assert_allclose(kernels.layer_norm(x, None, None), exact(x, 1, 0), atol=2e-4)


@pytest.mark.parametrize("channel_first", [False, True])
def test_threads_do_not_change_a_bit(kernels, channel_first):
    x, weight, bias, dy = arrays(5000, 96)
    dy = np.ascontiguousarray(dy)
    x = x.reshape(96, 5000) if channel_first else x
    results = [
        (kernels.layer_norm(x, weight, bias, channel_first, threads=t),
         *kernels.layer_norm_backward(x, weight, dy, channel_first, threads=t))
        for t in (1, 2, 7)
    ]
    for other in results[1:]:
        assert all(a.tobytes() == b.tobytes() for a, b in zip(results[0], other))
