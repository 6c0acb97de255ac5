# SPDX-License-Identifier: Apache-2.0
"""The gradient of a whole transition by the C++ kernel: numbers, threads, use in training.

An error is measured against the largest number of the exact result. A gradient is three products
in a row in float32, for which 5e-6 is ten times the usual error.
"""

from dataclasses import replace

import mindspore
import numpy as np
import pytest
from mindspore import Tensor

from protenix_ms.model.layers import Transition
from protenix_ms.ops.kernels import WORTH_A_KERNEL, NativeOperator
from protenix_ms.runtime.policy import policy, using

SIZES = [(1, 1, 1), (5, 20, 8), (33, 16, 200), (300, 48, 40), (1500, 40, 7)]  # positions, c, hidden


def arguments(count, channels, hidden):
    rng = np.random.default_rng(count + channels + hidden)

    def normal(*shape):
        return (rng.standard_normal(shape) / shape[-1] ** (len(shape) > 1) ** 0.5).astype("f4")

    x, dy = (rng.standard_normal((count, channels)).astype("f4") for _ in range(2))
    norm = [normal(channels), normal(channels)]
    weights = [normal(hidden, channels), normal(hidden, channels), normal(channels, hidden)]
    return x, dy, norm, weights


def exact(x, dy, norm, weights):
    """Differentiate by hand in float64."""
    x, dy, *arrays = (a.astype("f8") for a in (x, dy, *norm, *weights))
    scale, offset, gate_weight, value_weight, out_weight = arrays
    deviation = np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    unit = (x - x.mean(-1, keepdims=True)) / deviation
    n = unit * scale + offset
    gate, value, dh = n @ gate_weight.T, n @ value_weight.T, dy @ out_weight
    opened = 1 / (1 + np.exp(-gate))
    silu = gate * opened
    dgate, dvalue = dh * value * (opened + silu * (1 - opened)), dh * silu
    dn = dgate @ gate_weight + dvalue @ value_weight
    g = dn * scale
    dx = (g - g.mean(-1, keepdims=True) - unit * (g * unit).mean(-1, keepdims=True)) / deviation
    return [dx + dy, (dn * unit).sum(0), dn.sum(0), dgate.T @ n, dvalue.T @ n,
            dy.T @ (silu * value)]


@pytest.mark.parametrize("isa", ["plain", "avx2", "avx512"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_equals_float64_with_any_threads(kernels, isa, sizes):
    if isa not in kernels.isas():
        pytest.skip(f"this machine has no {isa}")
    given = arguments(*sizes)
    alone, *others = (kernels.transition_gradient(*given, isa, threads) for threads in (1, 2, 5))
    for ours, expected in zip(alone, exact(*given), strict=True):
        assert np.abs(ours - expected).max() <= 5e-6 * max(np.abs(expected).max(), 1e-2)
    assert all(a.tobytes() == b.tobytes() for other in others for a, b in zip(alone, other))


def test_no_number_is_passed_on(kernels):
    x, dy, norm, weights = arguments(300, 16, 8)
    x[7, 3] = np.nan
    dx, *gradients = kernels.transition_gradient(x, dy, norm, weights)
    assert np.isnan(dx[7]).all() and np.isfinite(np.delete(dx, 7, 0)).all()
    assert all(np.isnan(g).any() for g in gradients)


def gradients_of(layer, x, dy, use_kernels):
    with using(replace(policy(), kernels=use_kernels)):
        function = mindspore.value_and_grad(
            lambda x: (layer(x) * dy).sum(), 0, list(layer.get_parameters()))
        value, (dx, dweights) = function(x)
    return [value.asnumpy(), dx.asnumpy(), *(g.asnumpy() for g in dweights)]


@pytest.mark.parametrize("positions", [40, 46])  # of a pair: less and more than pays
def test_training_by_kernels_equals_the_plain_form(kernels, monkeypatch, positions):
    names, original = [], NativeOperator.__init__
    monkeypatch.setattr(NativeOperator, "__init__",
                        lambda self, name, *x: names.append(name) or original(self, name, *x))
    monkeypatch.setattr("protenix_ms.ops.kernels.operator", NativeOperator)
    rng = np.random.default_rng(0)
    layer = Transition(24, 2).set_train()
    for parameter in layer.get_parameters():
        parameter.set_data(Tensor(0.3 * rng.standard_normal(parameter.shape).astype("f4")))
    x, dy = (Tensor(rng.standard_normal((positions, positions, 24)).astype("f4")) for _ in "xy")
    ours, plain = (gradients_of(layer, x, dy, use) for use in (True, False))
    for a, b in zip(ours, plain, strict=True):
        assert np.abs(a - b).max() <= 2e-5 * np.abs(b).max()
    assert ("transition_grad" in names) == (positions**2 >= WORTH_A_KERNEL["layer_gradient"])
