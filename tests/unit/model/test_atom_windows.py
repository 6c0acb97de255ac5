# SPDX-License-Identifier: Apache-2.0
"""Attention in atom windows: read in place by the kernel, or cut out first, the same."""

from dataclasses import replace

import mindspore
import numpy as np
import pytest
from mindspore import Tensor

from protenix_ms.model.atom_windows import AtomWindows
from protenix_ms.ops import native
from protenix_ms.runtime.policy import policy, using


@pytest.fixture(autouse=True)
def _library():
    if native.library() is None:
        pytest.skip("this machine has no C++ compiler: the CPU kernels cannot be tested")


def inputs(windows: AtomWindows) -> list[Tensor]:
    """Draw q, k, v, bias, gate of two samples, three heads of eight channels."""
    rng = np.random.default_rng(0)
    shapes = [(2, windows.n_atoms, 3, 8)] * 3 + [(windows.n_windows, 3, 32, 128)]
    q, k, v, bias = (Tensor.from_numpy(rng.standard_normal(s, np.float32)) for s in shapes)
    return [q, k, v, bias + windows.key_bias, v + 1]


def attended(n_atoms: int, **changes) -> np.ndarray:
    windows = AtomWindows.over(n_atoms)
    with using(replace(policy(), **changes)):
        return windows.attend(*inputs(windows)).asnumpy()


@pytest.mark.parametrize("n_atoms", [1, 32, 33, 200])
def test_in_place_equals_cut_out(n_atoms):
    ours = attended(n_atoms, threads=1)
    assert ours.shape == (2, n_atoms, 3, 8) and np.isfinite(ours).all()
    np.testing.assert_allclose(ours, attended(n_atoms, kernels=False), rtol=1e-5, atol=2e-6)
    assert np.array_equal(ours, attended(n_atoms, threads=2))


def test_windows_are_cut_out_for_a_gradient():
    windows = AtomWindows.over(70)
    arguments = inputs(windows)

    def loss(*x):
        return (windows.attend(*x) ** 2).sum()

    ours = mindspore.grad(loss, (0, 1, 2, 3, 4))(*arguments)
    with using(replace(policy(), kernels=False)):
        expected = mindspore.grad(loss, (0, 1, 2, 3, 4))(*arguments)
    for x, y in zip(ours, expected):
        assert np.abs(y.asnumpy()).max() > 1e-2
        np.testing.assert_allclose(x.asnumpy(), y.asnumpy(), rtol=1e-4, atol=1e-5)


def test_the_same_in_a_graph():
    windows = AtomWindows.over(70)
    arguments = inputs(windows)

    def attend(*x):
        return windows.attend(*x)

    ours = mindspore.jit(attend)(*arguments).asnumpy()
    np.testing.assert_allclose(ours, windows.attend(*arguments).asnumpy(), rtol=1e-6, atol=1e-6)
