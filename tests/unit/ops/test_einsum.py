# SPDX-License-Identifier: Apache-2.0
"""`ops.einsum` is numpy's einsum of two operands: values, gradients, plans, refusals."""

import mindspore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mindspore import Tensor

from protenix_ms.ops.einsum import einsum, plan
from protenix_ms.ops.functional import bf16_einsum


@st.composite
def contractions(draw) -> tuple[str, list[np.ndarray]]:
    """Draw any mix of batch, contracted and free axes, in any order, some of one element."""
    letters = draw(st.permutations("abcdefg"))
    counts = [draw(st.integers(0, 2)) for _ in range(4)]
    groups, rest = [], list(letters)
    for count in counts:
        groups.append(rest[:count])
        rest = rest[count:]
    batch, rows, columns, summed = groups
    extent = {c: draw(st.integers(1, 4)) for c in letters}
    x = draw(st.permutations(batch + rows + summed))
    y = draw(st.permutations(batch + columns + summed))
    out = draw(st.permutations(batch + rows + columns))
    rng = np.random.default_rng(draw(st.integers(0, 100)))
    broadcast = draw(st.sampled_from(["", *batch]))  # one element in x, however many in y
    shapes = [[1 if c == broadcast else extent[c] for c in x], [extent[c] for c in y]]
    equation = f"{''.join(x)},{''.join(y)}->{''.join(out)}"
    return equation, [rng.standard_normal(s).astype(np.float32) for s in shapes]


@settings(max_examples=150, deadline=None)
@given(contractions())
def test_values_and_gradients_equal_numpy(contraction):
    equation, (x, y) = contraction
    inputs, out = equation.split("->")
    left, right = inputs.split(",")
    exact = np.einsum(equation, *(a.astype(np.float64) for a in (x, y)))
    ours = einsum(equation, Tensor.from_numpy(x), Tensor.from_numpy(y))
    assert ours.shape == exact.shape
    np.testing.assert_allclose(ours.asnumpy(), exact, rtol=1e-5, atol=1e-5)
    weight = np.random.default_rng(0).standard_normal(exact.shape).astype(np.float32)

    def loss(a, b):
        return (einsum(equation, a, b) * Tensor.from_numpy(weight)).sum()

    dx, dy = mindspore.grad(loss, (0, 1))(Tensor.from_numpy(x), Tensor.from_numpy(y))
    wide = np.broadcast_to(x, [y.shape[right.index(c)] if c in right else n
                               for c, n in zip(left, x.shape)])
    exact_dx = np.einsum(f"{out},{right}->{left}", weight, y)
    shared = tuple(i for i, n in enumerate(x.shape) if n == 1)
    exact_dx = exact_dx.sum(shared, keepdims=True).reshape(x.shape) if shared else exact_dx
    np.testing.assert_allclose(dx.asnumpy(), exact_dx, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        dy.asnumpy(), np.einsum(f"{left},{out}->{right}", wide, weight), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("equation,x,y,expected", [
    ("mi,oi->mo", (50, 8), (4, 8), "x y^T"),
    ("mi,oi->om", (50, 8), (4, 8), "y x^T"),
    ("im,oi->mo", (8, 50), (4, 8), "x^T y^T"),
    ("cki,ckj->cij", (3, 9, 9), (3, 9, 9), "batch of x^T y"),
    ("bik,bkj->bji", (3, 9, 9), (3, 9, 9), "batch of y^T x^T"),
    ("i,j->ij", (3,), (4,), "x y^T"),
    ("hc,wqkc->whqk", (4, 16), (60, 32, 128, 16), "batch of x y^T, repeat x"),
    ("hc,wqkc->whqk", (4, 16), (1, 32, 128, 16), "x y^T"),
    # repeated operands would take as much memory as all outer products
    ("mia,mjb->ijab", (128, 64, 32), (128, 64, 32), "x^T y, permute out"),
    ("qhd,khd->hqk", (64, 4, 32), (64, 4, 32), "batch of x y^T, permute x, permute y"),
])
def test_the_plan_tells_what_is_copied(equation, x, y, expected):
    assert str(plan(equation, x, y)) == expected
    assert plan(equation, x, y).permutes == expected.count("permute")


@pytest.mark.parametrize("equation", ["hc,wqkc->whqk", "qhd,khd->hqk"])
def test_the_same_in_a_graph(equation):
    shapes = {"h": 2, "c": 3, "w": 300, "q": 4, "k": 5, "d": 6}
    rng = np.random.default_rng(0)
    x, y = (
        Tensor.from_numpy(rng.standard_normal([shapes[c] for c in term]).astype(np.float32))
        for term in equation.partition("->")[0].split(",")
    )

    def loss(x, y):
        return (einsum(equation, x, y) ** 2).sum()

    expected = mindspore.grad(loss, (0, 1))(x, y)
    for gradient in (mindspore.jit(mindspore.grad(loss, (0, 1))),
                     mindspore.grad(mindspore.jit(loss), (0, 1))):
        for a, b in zip(gradient(x, y), expected):
            assert np.abs(b.asnumpy()).max() > 1
            np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=1e-5, atol=1e-4)


def test_bf16_rounds_operands_and_result():
    x, y = (Tensor(np.full((4, 4), v, np.float32)) for v in (1.001, 1.0))
    assert (bf16_einsum("ik,jk->ij", x, y).asnumpy() == 4.0).all()
    assert (einsum("ik,jk->ij", x, y).asnumpy() > 4.003).all()


def test_where_bf16_meets_fp32_the_product_is_fp32():
    """At the edge of an fp32 island; MindSpore multiplies tensors of one type only."""
    x, y = (Tensor(np.full((4, 4), v, np.float32)) for v in (0.5, 1.001))
    for pair in ((x.astype(mindspore.bfloat16), y), (y, x.astype(mindspore.bfloat16))):
        product = einsum("ik,jk->ij", *pair)
        assert product.dtype == mindspore.float32
        np.testing.assert_allclose(product.asnumpy(), 2.002, rtol=1e-6)


@pytest.mark.parametrize("equation,x,y,words", [
    ("ij,jk", (2, 3), (3, 4), "two operands and a result"),
    ("ij->ij", (2, 3), (3, 4), "two operands and a result"),
    ("i...,jk->ik", (2, 3), (3, 4), "two operands and a result"),
    ("ijk,jk->ik", (2, 3), (3, 4), "cannot name the axes"),
    ("ii,ik->k", (2, 2), (2, 4), "cannot name the axes"),
    ("ij,jk->ik", (2, 3), (4, 4), "'j' is 3 and 4"),
    ("ij,jk->il", (2, 3), (3, 4), "no operand has it"),
    ("ij,jk->ii", (2, 3), (3, 4), "repeats an axis"),
    ("ij,jk->k", (2, 3), (3, 4), "'i' is in one operand alone"),
])
def test_what_it_refuses(equation, x, y, words):
    with pytest.raises(ValueError, match=words):
        plan(equation, x, y)
