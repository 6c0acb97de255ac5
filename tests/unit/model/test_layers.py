# SPDX-License-Identifier: Apache-2.0
"""Linear and LayerNorm in both layouts, and parameters that take no memory until loaded."""

import mindspore as ms
import numpy as np
import pytest

from protenix_ms.model.layers import LayerNorm, Linear, empty_parameter
from protenix_ms.ops.projection import (
    channel_first,
    from_channel_first,
    norm_from_channel_first,
)
from protenix_ms.runtime.policy import Policy, using

rng = np.random.RandomState(0)
x, w, b = (rng.standard_normal(s).astype("f4") for s in ((2, 5, 6), (4, 6), (4,)))


def filled(module, **values):
    for name, value in values.items():
        getattr(module, name).set_data(ms.Tensor(value))
    return module


def test_linear_in_every_layout():
    linear = filled(Linear(6, 4, bias=True), weight=w, bias=b)
    np.testing.assert_allclose(linear(ms.Tensor(x)).asnumpy(), x @ w.T + b, atol=1e-5)
    flat = x.reshape(-1, 6)
    np.testing.assert_allclose(
        channel_first(linear, ms.Tensor(flat)).asnumpy(), w @ flat.T, atol=1e-5)
    np.testing.assert_allclose(
        from_channel_first(linear, ms.Tensor(np.ascontiguousarray(flat.T))).asnumpy(), flat @ w.T,
        atol=1e-5)


@pytest.mark.parametrize("device", ["CPU", "Ascend"])
def test_layer_norm_of_channel_first_is_the_same(device):
    """The branch for Ascend is plain enough to run here too."""
    norm = filled(LayerNorm(6), weight=w[0], bias=w[1])
    flat = x.reshape(-1, 6)
    expected = norm(ms.Tensor(flat)).asnumpy()
    with using(Policy(device=device)):
        turned = norm_from_channel_first(norm, ms.Tensor(np.ascontiguousarray(flat.T))).asnumpy()
    np.testing.assert_allclose(turned, expected, atol=1e-6)


def test_an_unloaded_parameter_takes_no_memory():
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    before = resident()
    p = empty_parameter((16384, 8192))  # half a gigabyte
    assert resident() - before < 2**25
    assert p.shape == (16384, 8192) and p.dtype == ms.float32
    assert (empty_parameter((3,), 1.5).asnumpy() == 1.5).all()


def test_absent_scale_and_offset_have_no_parameter():
    assert not dict(LayerNorm(4, scale=False, offset=False).parameters_and_names())
    assert set(dict(LayerNorm(4, offset=False).parameters_and_names())) == {"weight"}
