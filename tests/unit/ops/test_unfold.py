# SPDX-License-Identifier: Apache-2.0
"""`ops.unfold` is `torch.Tensor.unfold`: shapes, values and gradients."""

import mindspore as ms
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from protenix_ms.ops.unfold import unfold, windows

CASES = [
    ((7,), 0, 3, 2),
    ((6, 5), 1, 4, 2),
    ((6, 5), 0, 6, 1),
    ((2, 160, 4, 3), 1, 128, 32),
    ((2, 3, 9), -1, 2, 3),
    ((3, 8, 2), -2, 5, 1),
    ((1, 1, 4, 2, 3), 2, 1, 1),
]


@pytest.mark.parametrize("shape,axis,size,step", CASES)
def test_values_and_gradient(shape, axis, size, step):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    theirs = torch.tensor(x, requires_grad=True)
    expected = theirs.unfold(axis, size, step)
    weight = np.random.default_rng(1).standard_normal(tuple(expected.shape)).astype(np.float32)
    (expected * torch.tensor(weight)).sum().backward()

    def weighted(t):
        return (unfold(t, axis, size, step) * ms.Tensor(weight)).sum()

    ours = unfold(ms.Tensor(x), axis, size, step)
    np.testing.assert_array_equal(ours.asnumpy(), expected.detach().numpy())
    gradient = ms.grad(weighted)(ms.Tensor(x)).asnumpy()
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=1e-6, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(-4, 3),
    st.integers(1, 6), st.integers(1, 7),
)
def test_any_rank_axis_size_step(shape, axis, size, step):
    x = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    if not -len(shape) <= axis < len(shape) or size > shape[axis]:
        with pytest.raises(ValueError):
            unfold(ms.Tensor(x), axis, size, step)
        return
    expected = torch.tensor(x).unfold(axis, size, step).numpy()
    np.testing.assert_array_equal(unfold(ms.Tensor(x), axis, size, step).asnumpy(), expected)
    at = axis % len(shape)
    np.testing.assert_array_equal(
        windows(ms.Tensor(x), axis, size, step).asnumpy(), np.moveaxis(expected, -1, at + 1)
    )
