# SPDX-License-Identifier: Apache-2.0
"""Compiled stacks give what plain ones give, for every length, policy and weight."""

import logging

import numpy as np
import pytest
from mindspore import Tensor, nn

from protenix_ms.model.atom_windows import AtomWindows
from protenix_ms.model.diffusion_transformer import DiffusionTransformer
from protenix_ms.model.pairformer import PairformerBlock, PairformerStack
from protenix_ms.model.weights import load_weights, rule_array
from protenix_ms.runtime.gradient import value_and_gradients
from protenix_ms.runtime.policy import Policy, using

C_Z, C_S, C_A, HEADS = 32, 24, 48, 4
TOLERANCE = 1e-6  # of the largest
JIT = Policy(jit=True)


def normal(*shape: int) -> Tensor:
    rng = np.random.default_rng(shape)
    return Tensor.from_numpy(rng.standard_normal(shape, np.float32))


def built(cell: nn.Cell) -> nn.Cell:
    """Fill the parameters with weights that differ from block to block."""
    shapes = [(n, tuple(p.shape)) for n, p in cell.parameters_and_names()]
    load_weights(cell, ((n, rule_array(n, shape)) for n, shape in shapes))
    return cell.set_train(False)


class Pairformer:
    """Runs both tracks, or the pair alone as in templates."""

    def __init__(self, c_s: int) -> None:
        self.c_s, self.cell = c_s, built(PairformerStack(3, C_Z, c_s, HEADS, expansion=2))

    def __call__(self, n: int) -> list[Tensor]:
        s, z = self.cell(normal(n, self.c_s) if self.c_s else None, normal(n, n, C_Z))
        assert (s is None) == (not self.c_s)
        return [z] if s is None else [s, z]


class Diffusion:
    """Runs two samples that share their conditioning."""

    def __init__(self) -> None:
        self.cell = built(DiffusionTransformer(C_A, C_S, C_Z, 3, HEADS))

    def __call__(self, n: int) -> list[Tensor]:
        biases = self.cell.pair_biases(normal(n, n, C_Z))
        return [self.cell(normal(2, n, C_A), normal(1, n, C_S), biases)]


class Atoms:
    """Runs windows of atoms."""

    def __init__(self) -> None:
        self.cell = built(DiffusionTransformer(C_A, C_A, 16, 2, HEADS, cross=True))

    def __call__(self, n: int) -> list[Tensor]:
        windows = AtomWindows.over(n)
        biases = self.cell.pair_biases(normal(windows.n_windows, 32, 128, 16), windows)
        return [self.cell(normal(2, n, C_A), normal(1, n, C_A), biases, windows)]


STACKS = {"pairformer": lambda: Pairformer(C_S), "pair alone": lambda: Pairformer(0),
          "diffusion": Diffusion, "atoms": Atoms}


@pytest.fixture(params=STACKS)
def stack(request):
    return STACKS[request.param]()


def arrays(stack, n: int, policy: Policy) -> list[np.ndarray]:
    with using(policy):
        return [x.asnumpy() for x in stack(n)]


def graphs(stack) -> int:
    return len(stack.cell.run_block)


def assert_close(ours: list[np.ndarray], plain: list[np.ndarray]) -> None:
    for x, y in zip(ours, plain, strict=True):
        assert x.shape == y.shape
        assert np.abs(x - y).max() <= TOLERANCE * np.abs(y).max()


@pytest.mark.parametrize("n", [1, 13, 33])
def test_as_plain(stack, n):
    plain = arrays(stack, n, Policy())
    assert graphs(stack) == 0
    for _ in range(2):  # the run that compiles, and one that does not
        assert_close(arrays(stack, n, JIT), plain)
    assert graphs(stack) == 1, "all blocks share one graph"


@pytest.mark.parametrize("name", ["pairformer", "diffusion"])
def test_every_length_has_a_graph(name):
    stack = STACKS[name]()
    for count, n in enumerate((17, 20, 32, 20)):
        assert_close(arrays(stack, n, JIT), arrays(stack, n, Policy()))
        assert graphs(stack) == min(count + 1, 3)


@pytest.mark.parametrize("settings", [{"chunk": 40}, {"chunk": 40, "kernels": False}])
def test_by_chunks_and_by_plain_operators(stack, settings):
    plain = arrays(stack, 41, Policy())
    assert_close(arrays(stack, 41, Policy(jit=True, **settings)), plain)


def test_another_policy_another_graph(stack):
    """To the bit what the plain form gives under that policy: nothing stale is left."""
    policies = [{}, {"kernels": False}, {"chunk": 40}, {"threads": 1}, {"memory": 2**22}]
    seen = []
    for i, settings in enumerate([*policies, {}]):
        plain = arrays(stack, 41, Policy(**settings))
        ours = arrays(stack, 41, Policy(jit=True, **settings))
        assert all(map(np.array_equal, ours, plain)), settings
        assert graphs(stack) == min(i + 1, len(policies))
        seen.append(plain[-1])
    assert not np.array_equal(seen[0], seen[1]), "policies that differ in nothing prove nothing"


def test_new_weights_are_seen(stack):
    arrays(stack, 9, JIT)
    for parameter in stack.cell.get_parameters():
        parameter.set_data(Tensor(parameter.asnumpy() * 1.5))
    plain = arrays(stack, 9, Policy())
    assert all(map(np.array_equal, arrays(stack, 9, JIT), plain))
    assert graphs(stack) == 1


def test_error_while_compiling_leaves_nothing_behind(monkeypatch):
    stack = Pairformer(C_S)

    def fails(*_):
        raise ValueError("no")

    with monkeypatch.context() as patch:
        patch.setattr(PairformerBlock, "single", fails)
        with pytest.raises(ValueError, match="no"):
            arrays(stack, 9, JIT)
    assert graphs(stack) == 0
    assert_close(arrays(stack, 9, JIT), arrays(stack, 9, Policy()))


@pytest.mark.parametrize("training", [True, False])
def test_gradients_take_the_plain_form(stack, training):
    stack.cell.set_train(training)
    parameters = list(stack.cell.get_parameters())

    def gradients(policy: Policy) -> dict[str, Tensor]:
        with using(policy):
            return value_and_gradients(lambda: (stack(9)[-1].sum(), None), parameters)[2]

    plain, ours = gradients(Policy()), gradients(JIT)
    assert graphs(stack) == 0
    assert any(g.asnumpy().any() for g in plain.values())
    for name, gradient in plain.items():
        assert np.array_equal(ours[name].asnumpy(), gradient.asnumpy()), name


def test_compilations_are_logged(stack, caplog):
    with caplog.at_level(logging.INFO, "protenix_ms.runtime.compiled"):
        for n in (9, 9, 10):
            arrays(stack, n, JIT)
    lines = [r.getMessage() for r in caplog.records]
    assert len(lines) == 2 and all("compiling" in line for line in lines)
    assert "(9," in lines[0] or "9," in lines[0]
