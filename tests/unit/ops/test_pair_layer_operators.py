# SPDX-License-Identifier: Apache-2.0
"""Whole layers as MindSpore operators: what does not fit is refused, and so is a gradient."""

import mindspore
import numpy as np
import pytest
from mindspore import Tensor

from protenix_ms.ops.functional import EPSILON
from protenix_ms.ops.kernels import operator, settings

RNG = np.random.default_rng(0)
N, C, H, HEADS, ROWS = 23, 32, 16, 2, 3
WIDTH = 16 * HEADS
TOKENS, SHARED = (3, N, C), (1, N, C)  # samples and their conditioning
NORM_C, NORM_H = ((C,), (C,)), ((H,), (H,))
PAIR, EDGES, LOGITS = (N, N, C), (H, N, N), (HEADS, N, N)
SHAPES = {  # of all inputs but the settings
    "projection": (PAIR, *NORM_C, (H, C)),
    "linear": ((N, C), (H, C), (H,)),
    "transition": (PAIR, *NORM_C, (H, C), (H, C), (C, H)),
    "edges": (PAIR, *NORM_C, *((H, C),) * 4),
    "gated_output": (PAIR, *NORM_C, EDGES, *NORM_H, (C, H), (C, C)),
    "triangle_attention": (PAIR, *NORM_C, LOGITS, *((WIDTH, C),) * 4, (C, WIDTH)),
    "qkvg": (TOKENS, *(SHARED,) * 4, *((C, C),) * 4, (C,)),
    "attended": (TOKENS, SHARED, (3, N, H), (C, H)),
    "conditioned_transition": (TOKENS, *(SHARED,) * 3, (H, C), (H, C), (C, H)),
    "outer_product": (PAIR, (ROWS, N, H), (H, ROWS, N), (C, H * H), (C,)),
}
MODES = {
    "pynative": mindspore.grad,
    "jit of grad": lambda f: mindspore.jit(mindspore.grad(f)),
    "grad of jit": lambda f: mindspore.grad(mindspore.jit(f)),
}


@pytest.fixture(autouse=True)
def _library(kernels):
    """Skip where there is no compiler."""


def normal(shape):
    return Tensor.from_numpy(RNG.standard_normal(shape).astype(np.float32))


def run(name, shapes, numbers=None):
    """Return the first output of the operator on random inputs of these shapes."""
    y = operator(name)(*map(normal, shapes), settings(EPSILON) if numbers is None else numbers)
    return (y[0] if isinstance(y, tuple) else y).asnumpy()


def misfits(shapes):
    """Yield inputs of which one has an axis too long, too short, missing or more."""
    for i, shape in enumerate(shapes):
        longer = [(*shape[:d], shape[d] + 1, *shape[d + 1 :]) for d in range(len(shape))]
        shorter = [(*shape[:d], shape[d] - 1, *shape[d + 1 :]) for d in range(len(shape))]
        for wrong in (*longer, *shorter, (*shape, 1), shape[1:], shape[:-1]):
            yield i, wrong


# Misfits that are other fitting calls: more positions, fewer rows of a matrix, one wider head.
FITTING = {
    ("projection", 0, (N + 1, N, C)), ("projection", 0, (N - 1, N, C)),
    ("projection", 0, (N, N + 1, C)), ("projection", 0, (N, N - 1, C)),
    ("projection", 0, (N, C)), ("projection", 3, (H + 1, C)), ("projection", 3, (H - 1, C)),
    ("transition", 0, (N + 1, N, C)), ("transition", 0, (N - 1, N, C)),
    ("transition", 0, (N, N + 1, C)), ("transition", 0, (N, N - 1, C)),
    ("transition", 0, (N, C)),
    ("edges", 0, (N + 1, N, C)), ("edges", 0, (N - 1, N, C)),
    ("edges", 0, (N, N + 1, C)), ("edges", 0, (N, N - 1, C)),
    ("linear", 0, (N + 1, C)), ("linear", 0, (N - 1, C)),
    ("triangle_attention", 3, (1, N, N)),
    *((name, 0, (samples, N, C)) for name in ("qkvg", "conditioned_transition")
      for samples in (2, 4)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_that_do_not_fit_are_refused(name):
    shapes = SHAPES[name]
    assert np.isfinite(run(name, shapes)).all()
    for i, wrong in misfits(shapes):
        changed = (*shapes[:i], wrong, *shapes[i + 1 :])
        if (name, i, wrong) in FITTING:
            assert np.isfinite(run(name, changed)).all()
            continue
        with pytest.raises((RuntimeError, ValueError, IndexError)):
            run(name, changed)
            pytest.fail(f"{name} took {wrong} as input {i}")


@pytest.mark.parametrize("name", SHAPES)
def test_short_settings_are_refused(name):
    with pytest.raises(RuntimeError):
        run(name, SHAPES[name], normal((2,)))


def test_an_output_that_its_positions_would_overrun_is_refused():
    with pytest.raises(RuntimeError):  # edges of four axes, of which the result has two
        run("edges", ((N, N, 2, C), *SHAPES["edges"][1:]))


def test_heads_of_strange_width_are_refused():
    shapes = list(SHAPES["triangle_attention"])
    shapes[4:8], shapes[8] = [(24 * HEADS, C)] * 4, (C, 24 * HEADS)
    with pytest.raises(RuntimeError):
        run("triangle_attention", shapes)


def test_a_linear_layer_without_an_offset():
    x, weight = normal((N, C)), normal((H, C))
    expected = x.asnumpy() @ weight.asnumpy().T
    ours = operator("linear")(x, weight, Tensor(np.zeros(1, np.float32)), settings())
    np.testing.assert_allclose(ours.asnumpy(), expected, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [n for n in SHAPES if n != "transition"])
def test_a_gradient_is_refused_never_zero(name, mode):
    """`layer_pays` gives no kernel to what is recorded; one called all the same says so."""
    layer, (x, *others), numbers = operator(name), map(normal, SHAPES[name]), settings(EPSILON)

    def loss(x):
        y = layer(x, *others, numbers)
        return (y[0] if isinstance(y, tuple) else y).sum()

    with pytest.raises((NotImplementedError, RuntimeError), match="gradient|bprop"):
        MODES[mode](loss)(x)
