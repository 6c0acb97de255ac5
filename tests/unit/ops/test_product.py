# SPDX-License-Identifier: Apache-2.0
"""Products by the C++ kernel: numbers, gradients, shapes, and the same bytes for any threads."""

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, nn

from protenix_ms.ops.einsum import einsum, matrix_product
from protenix_ms.ops.kernels import PRODUCTS, NativeOperator, operator, settings

TURNED = [(False, False), (False, True), (True, False), (True, True)]
SHAPES = [  # batch, rows, depth, columns
    (3, 4, 16, 4096), (12, 32, 128, 32), (1, 1, 1, 1), (2, 7, 300, 5), (1, 400, 3, 70),
]
MODES = {
    "pynative": lambda f, at: mindspore.grad(f, at),
    "jit of grad": lambda f, at: mindspore.jit(mindspore.grad(f, at)),
    "grad of jit": lambda f, at: mindspore.grad(mindspore.jit(f), at),
}


def operands(shape, turned, seed=0):
    """Make two batches of matrices as the kernel takes them."""
    batch, rows, depth, columns = shape
    rng = np.random.default_rng(seed)
    sizes = (rows, depth), (depth, columns)
    return [rng.standard_normal((batch, *(size[::-1] if flag else size))).astype(np.float32)
            for size, flag in zip(sizes, turned)]


def exact(a, b, turned):
    a, b = (x.astype(np.float64).swapaxes(-1, -2) if flag else x.astype(np.float64)
            for x, flag in zip((a, b), turned))
    return a @ b


def error(ours, expected):
    return np.abs(ours - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("turned", TURNED)
@pytest.mark.parametrize("shape", SHAPES)
def test_kernel_equals_float64_with_any_threads(kernels, shape, turned):
    a, b = operands(shape, turned)
    for isa in kernels.isas():
        alone, *others = (kernels.product(a, b, *turned, isa, threads) for threads in (1, 2, 5))
        assert error(alone, exact(a, b, turned)) < 2e-6, isa
        assert all(other.tobytes() == alone.tobytes() for other in others), isa


@pytest.mark.parametrize("turned", TURNED)
@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("mode", MODES)
def test_gradients_equal_float64(kernels, mode, rank, turned):
    a, b = (x if rank == 3 else x[0] for x in operands((2, 5, 9, 7), turned))
    weight = np.random.default_rng(1).standard_normal(exact(a, b, turned).shape)
    target = Tensor.from_numpy(weight.astype(np.float32))

    def loss(a, b):
        return (operator(PRODUCTS[turned])(a, b, settings()) * target).sum()

    ours = MODES[mode](loss, (0, 1))(Tensor.from_numpy(a), Tensor.from_numpy(b))
    left, right = exact(weight, b, (False, not turned[1])), exact(a, weight, (not turned[0], False))
    expected = [x.swapaxes(-1, -2) if flag else x for x, flag in zip((left, right), turned)]
    for x, y in zip(ours, expected):
        assert error(x.asnumpy(), y) < 2e-6


def test_misfits_are_refused(kernels):
    for shapes in (((2, 3, 4), (2, 5, 6)), ((2, 3, 4), (3, 4, 6)), ((3, 4), (2, 4, 6)),
                   ((2, 3, 4), (4, 6)), ((1, 2, 3, 4), (1, 2, 4, 6)), ((2, 3, 0), (2, 0, 6))):
        a, b = (Tensor.from_numpy(np.ones(shape, np.float32)) for shape in shapes)
        with pytest.raises((RuntimeError, ValueError)):
            operator("product")(a, b, settings()).asnumpy()


def test_prediction_and_training_call_the_kernel(kernels, monkeypatch):
    calls, original = [], NativeOperator.__call__
    monkeypatch.setattr(NativeOperator, "__call__",
                        lambda self, *x: calls.append(1) or original(self, *x))
    a, b = map(Tensor.from_numpy, operands((3, 4, 16, 5), (False, False)))
    y = einsum("gij,gjk->gik", a, b)
    assert calls == [1] and error(y.asnumpy(), exact(a.asnumpy(), b.asnumpy(), TURNED[0])) < 1e-6
    mindspore.grad(lambda a: einsum("gij,gjk->gik", a, b).sum())(a)
    assert len(calls) == 4  # the product, and the gradients of both its factors
    half = matrix_product(a.astype(mindspore.float16), b.astype(mindspore.float16))
    assert len(calls) == 4 and half.dtype == mindspore.float16


def test_a_compiled_graph_multiplies_by_the_kernel(kernels):
    class Product(nn.Cell):
        @mindspore.jit
        def construct(self, a, b):
            return einsum("gij,gkj->gik", a, b)

    a, b = operands((3, 4, 16, 50), (False, True))
    ours = Product()(Tensor.from_numpy(a), Tensor.from_numpy(b)).asnumpy()
    np.testing.assert_array_equal(ours, kernels.product(a, b, False, True))
