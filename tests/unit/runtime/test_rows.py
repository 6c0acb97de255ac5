# SPDX-License-Identifier: Apache-2.0
"""Chunks cover all rows, are equal in size, and shrink with the memory."""

import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from protenix_ms.model.triangle import TriangleMultiplication
from protenix_ms.model.weights import load_weights, rule_array
from protenix_ms.runtime import rows as chunk
from protenix_ms.runtime.gradient import value_and_gradients
from protenix_ms.runtime.policy import Policy, using
from protenix_ms.runtime.rows import chunks, rows_per_chunk, rowwise


@pytest.mark.parametrize("rows", [1, 2, 100, 113, 128])
@pytest.mark.parametrize("per_row", [1, 2**18, 2**30])
def test_equal_chunks_that_fit(rows, per_row):
    size = rows_per_chunk(rows, per_row)
    parts = list(chunks(rows, size))
    assert [i for p in parts for i in range(p.start, p.stop)] == list(range(rows))
    assert size == 1 or size * per_row <= chunk.MOST_FLOATS
    assert len(parts) * size - rows < len(parts)


def test_fewest_rows_and_policy():
    assert rows_per_chunk(128, 2**30, least=16) == 16
    with using(Policy(chunk=5)):
        assert rows_per_chunk(128, 2**30, least=16) == 5
    with using(Policy(memory=2**30)):
        assert rows_per_chunk(128, 2**18) == 4
    with using(Policy(memory=2**20)):
        assert chunk.chunk_floats() == chunk.FEWEST_FLOATS


def test_no_rows():
    assert rows_per_chunk(0, 7) == 1
    x = Tensor(np.arange(7, dtype=np.float32))
    with using(Policy(chunk=3)):
        doubled = rowwise(None, lambda part: x[part] * 2, range(7), cost=1)
        assert np.array_equal(doubled.asnumpy(), 2 * np.arange(7))


@pytest.mark.parametrize("outgoing", [True, False])
def test_triangle_multiplication_by_channels(outgoing):
    cell = TriangleMultiplication(24, 40, outgoing)
    names = [(n, tuple(p.shape)) for n, p in cell.parameters_and_names()]
    load_weights(cell, ((n, rule_array(n, shape)) for n, shape in names))
    z = Tensor(np.random.default_rng(3).standard_normal((19, 19, 24), np.float32))
    whole = cell(z).asnumpy()
    with using(Policy(chunk=16)):
        assert np.abs(cell(z).asnumpy() - whole).max() <= 1e-6 * np.abs(whole).max()


@pytest.mark.parametrize("rows", [0, 4, 5, 16])
def test_parts_and_their_gradient_are_those_of_the_whole(rows):
    rng = np.random.default_rng(4)
    a, b = (Parameter(Tensor(rng.standard_normal(shape, np.float32)), name=name)
            for name, shape in (("a", (16, 6)), ("b", (6, 16))))
    weight = Tensor(rng.standard_normal((16, 6), np.float32))
    seen = []

    def some(a: Tensor, b: Tensor) -> Tensor:
        seen.append(len(a))
        return a * a * ops.transpose(b, (1, 0))

    def forward():
        return (rowwise(None, some, a, b, axes=(0, 1), cost=1) * weight).sum(), {}

    with using(Policy(chunk=rows)):
        _, _, gradient = value_and_gradients(forward, [a, b])
    a, b, weight = (x.asnumpy() for x in (a, b, weight))
    assert sum(seen) == 16 and max(seen) == (rows or 16)
    np.testing.assert_allclose(gradient["a"].asnumpy(), weight * 2 * a * b.T, rtol=1e-6)
    np.testing.assert_allclose(gradient["b"].asnumpy(), (weight * a * a).T, rtol=1e-6)


class Transition(nn.Cell):
    """Stands for a class whose kind the policy can recompute."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = Parameter(Tensor(np.full(5, 2, np.float32)), name="weight")


@pytest.mark.parametrize("kinds", [(), ("transition",)])
@pytest.mark.parametrize("axis", [0, 1])
def test_everything_that_a_function_reads_gets_its_gradient(axis, kinds):
    """Its parts, numpy and slices among them, what all parts share, and the owner's weights."""
    rng = np.random.default_rng(5)
    x, shared = (Parameter(Tensor(rng.standard_normal(shape, np.float32)), name=name)
                 for shape, name in (((7, 7, 5), "x"), ((5,), "shared")))
    scale, owner, calls = rng.standard_normal(7).astype(np.float32), Transition().set_train(), []

    def rows(x: Tensor, factor: np.ndarray, part: slice, shared: Tensor) -> Tensor:
        assert np.array_equal(factor, scale[part])
        calls.append(part)
        factor = np.expand_dims(factor, (1 - axis, 2))
        return x * x * Tensor(np.ascontiguousarray(factor)) * owner.weight + shared

    def forward():
        y = rowwise(owner, rows, x, scale, range(7), axes=(axis, 0, 0), shared=(shared,), cost=1)
        return y.sum(), {}

    with using(Policy(chunk=3, recompute=frozenset(kinds))):
        _, _, gradient = value_and_gradients(forward, [x, shared, owner.weight])
    assert len(calls) == (6 if kinds else 3)
    along = np.expand_dims(scale, (1 - axis, 2))
    values = x.asnumpy()
    np.testing.assert_allclose(gradient["x"].asnumpy(), 4 * values * along, rtol=1e-5)
    np.testing.assert_allclose(gradient["shared"].asnumpy(), np.full(5, 49), rtol=1e-6)
    np.testing.assert_allclose(gradient["weight"].asnumpy(), (values**2 * along).sum((0, 1)),
                               rtol=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rows_on_any_axis(axis):
    x = Tensor(np.random.default_rng(6).standard_normal((5, 5, 5), np.float32))
    with using(Policy(chunk=2)):
        y = rowwise(None, lambda x: x + 1, x, axes=axis, cost=1)
    assert np.array_equal(y.asnumpy(), x.asnumpy() + 1)
