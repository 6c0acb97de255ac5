# SPDX-License-Identifier: Apache-2.0
"""Every form of a residual layer beside its `update`, which parity tests compare with upstream.

Kernels and lean forms give the numbers of the plain update, forward and backward, and no kernel
runs where a gradient is recorded.
"""

import ast
from dataclasses import replace
from pathlib import Path

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from protenix_ms.config.training import training_config
from protenix_ms.model import residual
from protenix_ms.model.atom_windows import AtomWindows
from protenix_ms.model.attention import AttentionPairBias
from protenix_ms.model.diffusion_transformer import ConditionedTransitionBlock
from protenix_ms.model.layers import Linear, Transition
from protenix_ms.model.msa_module import MSAPairWeightedAveraging, OuterProductMean
from protenix_ms.model.triangle import TriangleAttention, TriangleMultiplication
from protenix_ms.ops import fused as forms
from protenix_ms.ops import native
from protenix_ms.ops.kernels import NativeOperator
from protenix_ms.runtime.gradient import value_and_gradients, without_gradient
from protenix_ms.runtime.policy import policy, using
from protenix_ms.runtime.recompute import KIND_OF, KINDS, recomputed

RNG = np.random.default_rng(0)
ATTENTION = {"projection", "triangle_attention"}
MULTIPLICATION = {"edges", "gated_output"}
PAIR_BIAS = {"qkvg", "attended"}
LAYERS = {  # layer of c channels, the kernels of its fused form
    "outgoing": (lambda c: TriangleMultiplication(c, c + 16, True), MULTIPLICATION),
    "incoming": (lambda c: TriangleMultiplication(c, 32, False), MULTIPLICATION),
    "starting": (lambda c: TriangleAttention(c, 4, True), ATTENTION),
    "ending": (lambda c: TriangleAttention(c, 2, False), ATTENTION),
    "transition": (lambda c: Transition(c, 4), {"transition"}),
    "outer product": (lambda c: OuterProductMean(24, c), {"projection", "outer_product"}),
    "weighted averaging": (lambda c: MSAPairWeightedAveraging(c, 8), set()),
    "single attention": (lambda c: AttentionPairBias(c, 8, 2), set()),
    "conditioned attention": (lambda c: AttentionPairBias(c, 8, 2, 24), PAIR_BIAS),
    "atom attention": (lambda c: AttentionPairBias(c, 8, 2, 24, cross=True), PAIR_BIAS),
    "conditioned transition": (
        lambda c: ConditionedTransitionBlock(c, 24), {"conditioned_transition"}),
}
WHOLE = {"linear", *set().union(*(names for _, names in LAYERS.values()))}


@pytest.fixture(autouse=True)
def _library():
    if native.library_path() is None:
        pytest.skip("this machine has no C++ compiler: no kernel serves")


@pytest.fixture
def served(monkeypatch):
    """List the names of the whole-layer kernels called so far."""
    names, original = set(), NativeOperator.__call__

    def call(self, *inputs):
        names.update(WHOLE & {self.func.rpartition(":pms_ms_")[2]})
        return original(self, *inputs)

    monkeypatch.setattr(NativeOperator, "__call__", call)
    return names


def normal(*shape):
    return Tensor.from_numpy(RNG.standard_normal(shape).astype(np.float32))


def filled(module):
    """Fill with random weights, none of them zero, that keep the size of what they multiply."""
    for p in module.get_parameters():
        p.set_data(normal(*p.shape) * (p.shape[-1] ** -0.5 if p.ndim > 1 else 1.0))
    return module


def inputs_of(name, layer, n):
    """Make the further inputs of a layer beside ``[n, n, c]``, a pair or n samples."""
    rows, s, pair = normal(7, n, 24), normal(1, n, 24), normal(n, n, 8)
    windows = AtomWindows.over(n)
    blocks = normal(windows.n_windows, 32, 128, 8)
    inputs = {
        "outer product": lambda: (rows,),
        "weighted averaging": lambda: (layer.weights(pair),),
        "single attention": lambda: (layer.pair_bias(pair),),
        "conditioned attention": lambda: (layer.pair_bias(pair), s),
        "atom attention": lambda: (layer.pair_bias(blocks) + windows.key_bias, s, windows),
        "conditioned transition": lambda: (s,),
    }
    return inputs.get(name, tuple)


def case(name, n, c):
    """Make a layer, a function that adds its update, one that does so plainly, and their input."""
    layer = filled(LAYERS[name][0](c))
    others = inputs_of(name, layer, n)
    return (layer, lambda z: layer(z, *others()), lambda z: z + layer.update(z, *others()),
            normal(n, n, c))


def assert_close(ours, expected, tolerance):
    ours, expected = ours.asnumpy(), expected.asnumpy()
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max() <= tolerance * np.abs(expected).max()


def without_kernels():
    return using(replace(policy(), kernels=False))


FUSED = [name for name in LAYERS if LAYERS[name][1]]


@pytest.mark.parametrize("n, c", [(23, 32), (33, 48), (70, 128)])
@pytest.mark.parametrize("name", FUSED)
def test_kernels_give_the_update(name, n, c, served):
    _, layer, plain, z = case(name, n, c)
    ours = layer(z)
    assert served == LAYERS[name][1]
    served.clear()
    with without_kernels():
        expected = plain(z)
    assert not served
    assert_close(ours, expected, 2e-6)
    assert np.abs((expected - z).asnumpy()).max() > 0.1


@pytest.mark.parametrize("chunk", [None, 7, 40])
@pytest.mark.parametrize("name", LAYERS)
def test_the_lean_form_gives_the_update(name, chunk, served, monkeypatch):
    monkeypatch.setattr(residual, "SMALL", 0)
    _, layer, plain, z = case(name, 33, 48)
    with without_kernels():
        expected = plain(z)
        with using(replace(policy(), chunk=chunk)):
            assert_close(layer(z), expected, 2e-6)
    assert not served


@pytest.mark.parametrize("name", LAYERS)
def test_a_mask_multiplies_the_update(name, served):
    layer, _, _, z = case(name, 23, 32)
    others, mask = inputs_of(name, layer, 23)(), normal(1, 23, 32)
    expected = z + layer.update(z, *others) * mask
    served.clear()
    assert_close(layer(z, *others, mask=mask), expected, 2e-6)
    if name not in ("outer product", "transition"):  # the lean forms of these have no mask
        _, ours = gradients(layer, lambda z: layer(z, *others, mask=mask), z)
        _, theirs = gradients(layer, lambda z: z + layer.update(z, *others) * mask, z)
        for parameter, g in ours.items():
            assert_close(g, theirs[parameter], 2e-5)


@pytest.mark.parametrize("name", ["outgoing", "incoming"])
def test_chunks_of_channels_do_not_change_the_product(name, served):
    _, layer, _, z = case(name, 33, 64)
    whole = layer(z)
    with using(replace(policy(), chunk=32)):
        assert layer(z).asnumpy().tobytes() == whole.asnumpy().tobytes()
    assert served == MULTIPLICATION


def gradients(module, function, z):
    """Compute value and gradients with respect to all parameters, of a sum of squares."""
    parameters = list(module.get_parameters())
    for p in parameters:
        p.requires_grad = True
    value, _, by_parameter = value_and_gradients(
        lambda: (function(z).square().sum(), None), parameters)
    return value, by_parameter


@pytest.mark.parametrize("chunk", [None, 10])
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_those_of_the_update(name, chunk, served):
    cell, layer, plain, z = case(name, 23, 32)
    with using(replace(policy(), chunk=chunk)):
        value, ours = gradients(cell, layer, z)
        by_input = mindspore.grad(lambda z: layer(z).square().sum())(z)
    assert not served
    with without_kernels():
        expected_value, expected = gradients(cell, plain, z)
        assert_close(by_input, mindspore.grad(lambda z: plain(z).square().sum())(z), 1e-5)
    assert_close(value, expected_value, 2e-6)
    assert ours.keys() == expected.keys()
    scale = max(np.abs(g.asnumpy()).max() for g in expected.values())
    for parameter, g in ours.items():
        if parameter == "layernorm_z.bias":  # the softmax removes it
            assert np.abs(g.asnumpy()).max() < 1e-5 * scale
            continue
        assert np.abs(g.asnumpy()).max() > 0, parameter
        assert_close(g, expected[parameter], 2e-5)


@pytest.mark.parametrize("name", FUSED)
def test_kernels_serve_where_no_gradient_flows(name, served):
    """Inside a forward pass that is differentiated, as in all recycles but the last."""
    _, layer, plain, z = case(name, 23, 32)

    def loss(x):
        with without_gradient():
            fixed = layer(z)
        return (x * fixed).sum()

    gradient = mindspore.grad(loss)(z)
    assert served == LAYERS[name][1]
    with without_kernels():
        assert_close(gradient, plain(z), 2e-6)


class PairformerBlock(nn.Cell):
    """Stands for a block that its stack recomputes; keeps a hash of the bytes of every pass."""

    def __init__(self, module, layer):
        super().__init__()
        self.module, self.layer, self.passes = module, layer, []

    def construct(self, z):
        y = self.layer(z)
        self.passes.append(hash(y.asnumpy().tobytes()))
        return y


@pytest.mark.parametrize("name", LAYERS)
def test_both_passes_of_a_recomputed_block_agree(name, served):
    module, layer, _, z = case(name, 23, 32)
    block = PairformerBlock(module, layer).set_train()
    _, expected = gradients(module, layer, z)
    with using(replace(policy(), recompute=frozenset({"pairformer_block"}))):
        _, ours = gradients(module, lambda z: recomputed(block, z), z)
    assert not served
    assert len(block.passes) == 2 and len(set(block.passes)) == 1
    for parameter, g in expected.items():
        assert ours[parameter].asnumpy().tobytes() == g.asnumpy().tobytes(), parameter


@pytest.mark.parametrize("kind, name", [
    ("triangle_attention", "starting"), ("triangle_multiplication", "incoming"),
    ("transition", "transition"), ("outer_product_mean", "outer product"),
])
def test_a_layer_that_recomputes_itself(kind, name, served):
    module, layer, _, z = case(name, 23, 32)
    module.set_train()
    _, expected = gradients(module, layer, z)
    with using(replace(policy(), recompute=frozenset({kind}))):
        _, ours = gradients(module, layer, z)
    assert not served
    for parameter, g in expected.items():
        assert ours[parameter].asnumpy().tobytes() == g.asnumpy().tobytes(), parameter


@pytest.mark.parametrize("kinds", [frozenset(), frozenset({"transition"})])
def test_rows_of_a_transition_are_recomputed_apart(kinds, monkeypatch):
    """Only the order in which rows add up to a weight's gradient differs."""
    module, layer, _, z = case("transition", 23, 32)
    module.set_train()
    _, expected = gradients(module, layer, z)
    passes, plain = [], type(module).update
    monkeypatch.setattr(
        type(module), "update", lambda self, x: passes.append(len(x)) or plain(self, x))
    with using(replace(policy(), chunk=10, recompute=kinds)):
        _, ours = gradients(module, layer, z)
    assert sorted(passes) == sorted([10, 10, 3] * (2 if kinds else 1))
    for parameter, g in expected.items():
        assert_close(ours[parameter], g, 2e-6)


def test_names_of_classes_are_classes_of_the_model():
    """Forms and recomputation are found by name: a renamed class would lose them silently."""
    package = Path(residual.__file__).parent
    classes = {node.name for path in package.glob("*.py")
               for node in ast.parse(path.read_text(encoding="utf-8")).body
               if isinstance(node, ast.ClassDef)}
    assert {*KIND_OF, *forms._KERNELS, *forms._LEAN} <= classes
    layers = {layer.__name__ for layer in residual.Residual.__subclasses__()}
    assert {*forms._KERNELS, *forms._LEAN} == layers


def test_kinds_are_those_of_the_training_configuration():
    assert tuple(sorted(training_config().recompute)) == KINDS


@pytest.mark.parametrize("bias", [False, True])
def test_linear_layers(bias, served):
    layer, x = filled(Linear(200, 300, bias)), normal(11, 17, 200)  # 11 million multiply-adds
    ours = layer(x)
    assert served == {"linear"}
    served.clear()
    _, expected = gradients(layer, layer, x)
    assert not served
    layer(x[:1, :1])  # too little to pay for a call
    assert not served
    with without_kernels():
        assert_close(ours, layer(x), 2e-6)
        for parameter, g in gradients(layer, layer, x)[1].items():
            assert_close(expected[parameter], g, 1e-5)


MODES = {
    "jit of grad": lambda f: mindspore.jit(mindspore.grad(f)),
    "grad of jit": lambda f: mindspore.grad(mindspore.jit(f)),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [*LAYERS, "linear"])
def test_a_gradient_in_jit_is_right_or_refused(name, mode):
    """A kernel without a gradient, or a form that no graph takes, stops rather than gives zeros."""
    if name == "linear":
        layer, z = filled(Linear(200, 300)), normal(187, 200)
    else:
        _, layer, _, z = case(name, 23, 32)

    def loss(z):
        return ops.square(layer(z)).sum()

    expected = mindspore.grad(loss)(z)
    try:
        gradient = MODES[mode](loss)(z)
    except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError):
        return
    assert_close(gradient, expected, 1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_a_linear_layer_in_jit_without_kernels(mode):
    layer, x = filled(Linear(200, 300, bias=True)), normal(187, 200)

    def loss(x):
        return ops.square(layer(x)).sum()

    with without_kernels():
        assert_close(MODES[mode](loss)(x), mindspore.grad(loss)(x), 1e-5)
