# SPDX-License-Identifier: Apache-2.0
"""The fused optimiser beside its plain form, in place on tensors of every origin."""

from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, ops

from protenix_ms.config.training import training_config
from protenix_ms.ops.native import library_path
from protenix_ms.runtime.policy import policy, using
from protenix_ms.train.optimiser import Adam, MovingAverage, total_norm

pytestmark = pytest.mark.skipif(library_path() is None, reason="this machine has no C++ compiler")
SHAPES = {"a.weight": (37, 129), "a.bias": (5,), "b.weight": (2, 3, 4), "c.weight": (300, 200)}


def trained(kernels, threads, adamw=False, only=(), steps=6):
    """Return parameters, moments and averages after some updates."""
    rng = np.random.default_rng(0)
    model = {n: Parameter(Tensor.from_numpy(rng.standard_normal(s).astype("f4")), name=n)
             for n, s in SHAPES.items()}
    config = training_config().adam
    config.update({"weight_decay": 0.1, "use_adamw": adamw})
    optimiser, average = Adam(model, config), MovingAverage(model, 0.9, only)
    with using(replace(policy(), kernels=kernels, threads=threads)):
        for step in range(steps):
            gradients = {n: Tensor(rng.standard_normal(s).astype("f4")) for n, s in SHAPES.items()}
            if step == 2:
                del gradients["b.weight"]
            optimiser.update(gradients, lambda n: 0.01 if n[0] == "a" else 0.02, average, 0.7)
    arrays = {n: p.asnumpy().copy() for n, p in model.items()} | dict(optimiser.state())
    return arrays | {f"average/{n}": v.asnumpy() for n, v in average.average.items()}


@pytest.mark.parametrize("adamw", [False, True])
@pytest.mark.parametrize("only", [(), ("bias", "c.")])
def test_equals_the_plain_form(adamw, only):
    plain, fused = trained(False, 0, adamw, only), trained(True, 0, adamw, only)
    assert plain.keys() == fused.keys() and len(plain) == 4 * len(SHAPES)
    for name, expected in plain.items():  # the kernel's products and sums are rounded once
        assert np.abs(fused[name] - expected).max() <= 1e-6 * max(1, np.abs(expected).max()), name


def norm_of(gradients, kernels, threads=0):
    with using(replace(policy(), kernels=kernels, threads=threads)):
        return total_norm(gradients)


@pytest.mark.parametrize("sizes", [(1,), (5, 16), (70_003, 3, 200_000)], ids=str)
def test_norm_equals_float64_and_the_plain_form(sizes):
    rng = np.random.default_rng(1)
    gradients = {str(n): Tensor(rng.standard_normal(n).astype("f4")) for n in sizes}
    exact = np.sqrt(sum(np.square(g.asnumpy().astype("f8")).sum() for g in gradients.values()))
    assert norm_of(gradients, True) == pytest.approx(exact, rel=1e-13)
    assert norm_of(gradients, False) == pytest.approx(exact, rel=1e-6)
    assert norm_of(gradients, True, 1) == norm_of(gradients, True, 2)


def test_a_gradient_without_numbers_has_no_norm():
    gradients = {"a": Tensor(np.array([1, np.nan], "f4"))}
    assert np.isnan(norm_of(gradients, True)) and np.isnan(norm_of(gradients, False))


def test_same_bytes_for_any_number_of_threads():
    one, two = trained(True, 1), trained(True, 2)
    assert all(np.array_equal(one[n], two[n]) for n in one)


ORIGINS = {
    "numpy": lambda x: x,
    "operator": lambda x: x * 1.0,
    "copy": lambda x: x.copy(),
}


@pytest.mark.parametrize("origin", ORIGINS)
def test_the_next_operator_reads_what_the_kernel_wrote(origin):
    """Also after the parameter took part in a gradient, and for what was made from it before."""
    weight = Parameter(Tensor.from_numpy(np.full((8, 8), 2.0, np.float32)), name="w.weight")
    weight.set_data(ORIGINS[origin](weight.value()))
    square = ms.value_and_grad(lambda: ops.matmul(weight, weight).sum(), None, [weight])
    _, gradients = square()
    before = weight.value().copy()
    config = training_config().adam
    config.weight_decay = 0.0
    Adam({"w.weight": weight}, config).update({"w.weight": gradients[0]}, lambda n: 0.5)
    assert np.allclose(weight.asnumpy(), 1.5) and np.allclose((weight * 1.0).asnumpy(), 1.5)
    assert float(square()[0]) == pytest.approx(8 * 8 * 8 * 1.5**2)
    assert np.all(before.asnumpy() == 2)


def test_another_size_is_refused():
    from protenix_ms.ops.adam_cpu import Betas, Change, kernel_adam

    weight, short = (Tensor(np.zeros(n, np.float32)) for n in (4, 3))
    with pytest.raises(ValueError, match="gradient"):
        kernel_adam([Change(weight, short, weight, weight)], Betas(0.9, 0.95, 1e-8))
