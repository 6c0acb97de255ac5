# SPDX-License-Identifier: Apache-2.0
"""A large pair representation is written over by whole layers, with the same numbers."""

import numpy as np
import pytest
from mindspore import Tensor, nn

from protenix_ms.model.diffusion_transformer import PairBiases
from protenix_ms.model.msa_module import MSABlock
from protenix_ms.model.pairformer import PairformerBlock
from protenix_ms.model.weights import load_weights, rule_array
from protenix_ms.ops.native import kernels_serve
from protenix_ms.runtime import rows as chunk
from protenix_ms.runtime.policy import Policy, using

N, C, ROWS = 37, 32, 5

BLOCKS = {
    "pairformer": (lambda: PairformerBlock(C, 48, 4), (N, 48)),
    "msa": (lambda: MSABlock(16, C, False, last=False), (ROWS, N, 16)),
}


def filled(cell: nn.Cell) -> nn.Cell:
    names = [(n, tuple(p.shape)) for n, p in cell.parameters_and_names()]
    load_weights(cell, ((n, rule_array(n, shape)) for n, shape in names))
    return cell.set_train(False)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape, np.float32)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_writes_over_a_large_pair(name, monkeypatch):
    if not kernels_serve():
        pytest.skip("this machine has no compiled kernels: layers are composed")
    make, shape = BLOCKS[name]
    cell, first, z = filled(make()), Tensor(numbers(*shape)), Tensor(numbers(N, N, C))
    expected = [x.asnumpy().copy() for x in cell(first, z)]
    assert np.array_equal(z.asnumpy(), numbers(N, N, C))  # a small one is left alone
    with using(Policy(kernels=False)):
        composed = cell(first, z)[1].asnumpy()
    monkeypatch.setattr(chunk, "LARGE", z.size)
    actual = cell(first, z)
    assert all(np.array_equal(x.asnumpy(), y) for x, y in zip(actual, expected))
    assert actual[1].asnumpy().ctypes.data == z.asnumpy().ctypes.data
    assert np.abs(actual[1].asnumpy() - composed).max() < 1e-5 * np.abs(composed).max()


def test_zeros_are_what_they_say(monkeypatch):
    small = chunk.zeros((3, 4))
    monkeypatch.setattr(chunk, "LARGE", 12)
    large = chunk.zeros((3, 4))
    assert np.array_equal(small.asnumpy(), large.asnumpy()) and large.dtype == small.dtype
    large[1:2] = Tensor(np.ones((1, 4), np.float32))
    assert large.asnumpy().sum() == 4


def test_rows_go_into_a_given_array():
    target = Tensor(np.zeros((7, 2), np.float32))
    with using(Policy(chunk=3)):
        result = chunk.rowwise(None, lambda x: x + 1, target, cost=2, into=target)
    assert result is target and (target.asnumpy() == 1).all()


def test_biases_with_and_without_our_kernels():
    """Made by blocks of the diffusion transformer, whose norms have no offset."""
    from protenix_ms.model.diffusion_transformer import DiffusionTransformer

    cell, z = filled(DiffusionTransformer(32, 32, C, 2, 4)), Tensor(numbers(N, N, C))
    fused = PairBiases(cell.blocks, z)
    with using(Policy(kernels=False)):
        composed = PairBiases(cell.blocks, z)
        for a, b in zip(fused, composed, strict=True):
            assert a.shape == b.shape == (1, 4, N, N)
            assert np.abs(a.asnumpy() - b.asnumpy()).max() < 1e-5 * np.abs(b.asnumpy()).max()
