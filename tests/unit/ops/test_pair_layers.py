# SPDX-License-Identifier: Apache-2.0
"""The C kernels of whole layers against float64 numpy: sizes with tails, extremes, threads.

An error is measured against the largest number of the exact result. A layer here is two or three
products of at most 200 terms in float32, for which 5e-6 is twenty times their usual error.
"""

import numpy as np
import pytest

SETS = ["plain", "avx2", "avx512"]
POSITIONWISE = ["projection", "linear", "transition", "edges", "gated_output"]


@pytest.fixture(params=SETS)
def isa(request, kernels):
    if request.param not in kernels.isas():
        pytest.skip(f"this machine has no {request.param}")
    return request.param


def sigmoid(x):
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def normalised(x, norm):
    x = x.astype(np.float64)
    unit = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return unit * norm[0] + norm[1]


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def matrix(rng, rows, depth):
    return normal(rng, rows, depth) / np.float32(depth) ** 0.5


def assert_close(ours, exact, tolerance=5e-6):
    assert np.isfinite(ours).all()
    assert np.abs(ours - exact).max() <= tolerance * np.abs(exact).max()


class Layer:
    """Holds the arguments of one positionwise kind, drawn from the sizes."""

    def __init__(self, kind, count, channels, hidden):
        c, h = channels, hidden
        rng = np.random.default_rng(count + c + h)
        shapes = {"projection": [(h, c)], "linear": [(h, c)], "edges": [(h, c)] * 4,
                  "transition": [(h, c), (h, c), (c, h)], "gated_output": [(c, h), (c, c)]}[kind]
        self.kind, self.hidden = kind, h
        self.x, self.x2 = normal(rng, count, c), normal(rng, h, count)
        self.norm, self.norm2 = normal(rng, 2, c), normal(rng, 2, h)
        self.bias = normal(rng, h)
        self.weights = [matrix(rng, *shape) for shape in shapes]
        self.outputs = {"linear": [(count, h)], "projection": [(h, count)],
                        "edges": [(h, count)] * 2}.get(kind, [(count, c)])

    def run(self, kernels, isa=0, threads=1, **changed):
        fields = {name: getattr(self, name) for name in ("x2", "norm", "norm2", "bias", "hidden")}
        fields.update({"x": self.x, "weights": self.weights, **changed})
        return kernels.pair_layer(
            self.kind, outputs=self.outputs, isa=isa, threads=threads, **fields
        )

    def exact(self):
        z = self.x.astype(np.float64)
        n = normalised(z, self.norm)
        products = [n @ w.T for w in self.weights if w.shape[1] == z.shape[1]]
        if self.kind == "projection":
            return [products[0].T]
        if self.kind == "linear":
            return [z @ self.weights[0].T + self.bias]
        if self.kind == "transition":
            gate, value = products[:2]
            return [z + (gate * sigmoid(gate) * value) @ self.weights[2].T]
        if self.kind == "edges":
            return [(products[i] * sigmoid(products[i + 1])).T for i in (0, 2)]
        o = normalised(self.x2.T, self.norm2) @ self.weights[0].T
        return [z + o * sigmoid(products[-1])]


@pytest.mark.parametrize("kind", POSITIONWISE)
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1), (5, 20, 8), (31, 48, 40), (33, 16, 200), (70, 128, 13), (64, 20, 1)]
)
def test_layers_equal_float64(kernels, isa, kind, sizes):
    layer = Layer(kind, *sizes)
    for ours, exact in zip(layer.run(kernels, isa), layer.exact(), strict=True):
        assert_close(ours, exact)


@pytest.mark.parametrize("kind", ["projection", "transition", "edges", "gated_output"])
@pytest.mark.parametrize("count", [65_600, 65_613])  # results that are written past the caches
def test_large_layers_equal_float64(kernels, kind, count):
    layer = Layer(kind, count, 16, 16)
    shared = layer.run(kernels, threads=2)
    for ours, two, exact in zip(layer.run(kernels), shared, layer.exact(), strict=True):
        assert_close(ours, exact)
        assert ours.tobytes() == two.tobytes()


@pytest.mark.parametrize("shape", [(9, 30, 500), (40, 7, 193)])
def test_wide_linear_layers_and_no_offset(kernels, isa, shape):
    layer = Layer("linear", *shape)  # more rows of the weight than one unit takes
    assert_close(layer.run(kernels, isa)[0], layer.exact()[0])
    assert_close(layer.run(kernels, isa, bias=None)[0], layer.exact()[0] - layer.bias)


class Attention:
    """Holds the arguments of triangle attention, drawn from the sizes."""

    def __init__(self, tokens, channels, heads, width):
        n, c, h = tokens, channels, heads * width
        rng = np.random.default_rng(n + c + h)
        self.x, self.norm = normal(rng, n, n, c), normal(rng, 2, c)
        self.bias = normal(rng, heads, n, n)
        self.weights = [*(matrix(rng, h, c) for _ in range(4)), matrix(rng, c, h)]
        self.heads, self.scale = heads, width**-0.5

    def run(self, kernels, ending, isa=0, threads=1, **changed):
        fields = {name: getattr(self, name) for name in ("x", "norm", "bias", "heads", "scale")}
        fields.update(tokens=len(self.x), hidden=len(self.weights[0]), ending=ending, **changed)
        return kernels.pair_layer("triangle_attention", weights=self.weights, isa=isa,
                                  threads=threads, outputs=[self.x.shape], **fields)[0]

    def exact(self, ending):
        z = self.x.swapaxes(0, 1) if ending else self.x
        n = normalised(z, self.norm)
        heads = (*n.shape[:2], self.heads, -1)
        q, k, v, gate = (np.reshape(n @ w.T, heads) for w in self.weights[:4])
        logits = np.einsum("rihd,rjhd->rhij", q, k) * self.scale + self.bias
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        o = np.einsum("rhij,rjhd->rihd", weights, v) * sigmoid(gate)
        y = z + np.reshape(o, (*n.shape[:2], -1)) @ self.weights[4].T
        return y.swapaxes(0, 1) if ending else y


@pytest.mark.parametrize("ending", [False, True], ids=["starting", "ending"])
@pytest.mark.parametrize(
    "sizes", [(1, 20, 1, 32), (5, 48, 4, 16), (13, 7, 1, 48), (37, 32, 2, 32), (70, 20, 3, 16)]
)
def test_triangle_attention_equals_float64(kernels, isa, ending, sizes):
    attention = Attention(*sizes)
    assert_close(attention.run(kernels, ending, isa), attention.exact(ending))


def test_large_triangle_attention_equals_float64(kernels):
    attention = Attention(184, 32, 1, 16)  # its result is written past the caches
    assert_close(attention.run(kernels, True), attention.exact(True))


def test_a_query_without_keys_gets_nothing(kernels, isa):
    attention = Attention(37, 32, 2, 16)
    attention.bias[:, 5] = -np.inf
    ours = attention.run(kernels, False, isa)
    assert ours[:, 5].tobytes() == attention.x[:, 5].tobytes()
    assert np.isfinite(ours).all()


def edges(a, b, incoming):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.einsum("cki,ckj->cij" if incoming else "cik,cjk->cij", a, b)


@pytest.mark.parametrize("incoming", [False, True], ids=["outgoing", "incoming"])
@pytest.mark.parametrize("tokens", [1, 5, 12, 37, 70, 256, 261])  # a sum goes by 256 terms
def test_edge_product_equals_float64(kernels, isa, incoming, tokens):
    a, b = normal(np.random.default_rng(tokens), 2, 3, tokens, tokens)
    assert_close(kernels.product(a, b, incoming, not incoming, isa), edges(a, b, incoming))


def outer_arguments(rows, tokens, hidden, channels):
    rng = np.random.default_rng(rows + tokens)
    return (normal(rng, tokens, tokens, channels), normal(rng, rows, tokens, hidden),
            normal(rng, hidden, rows, tokens), matrix(rng, channels, hidden**2),
            normal(rng, channels), np.float32(1 / rows))


@pytest.mark.parametrize(
    "sizes",
    [(1, 1, 8, 1), (3, 5, 40, 20), (128, 37, 8, 48), (129, 5, 7, 20), (300, 37, 10, 128)],
)
def test_outer_product_equals_float64(kernels, isa, sizes):
    x, left, right, weight, bias, scale = outer_arguments(*sizes)  # rows go by 128
    outer = np.einsum("sic,esj->ijce", *(a.astype(np.float64) for a in (left, right)))
    exact = x + scale * (np.reshape(outer, (*x.shape[:2], -1)) @ weight.T + bias)
    assert_close(kernels.outer_product(x, left, right, weight, bias, scale, isa), exact)


class Conditioned:
    """Holds the arguments of one kind of conditioned layer, drawn from the sizes."""

    def __init__(self, kind, samples, shared, channels, hidden, second=False):
        c, h = channels, hidden
        rng = np.random.default_rng(samples + shared + c + h)
        shapes = {"qkvg": [(c, c)] * 4, "attended": [(c, h)],
                  "conditioned_transition": [(h, c), (h, c), (c, h)]}[kind]
        self.kind, self.second, self.bias = kind, second, normal(rng, c)
        self.x, self.o = normal(rng, samples, shared, c), normal(rng, samples, shared, h)
        self.scale, self.shift, self.scale2, self.shift2, self.gate = normal(rng, 5, shared, c)
        self.weights = [matrix(rng, *shape) for shape in shapes]

    def run(self, kernels, isa=0, threads=1, **changed):
        names = ("x", "weights", "o", "scale", "shift", "gate", "bias")
        fields = {name: getattr(self, name) for name in names}
        if self.second:
            fields.update(scale2=self.scale2, shift2=self.shift2)
        fields.update(hidden=self.o.shape[-1], shared=len(self.scale), **changed)
        return kernels.conditioned(self.kind, outputs=4 if self.kind == "qkvg" else 1, isa=isa,
                                   threads=threads, **fields)

    def exact(self):
        x, o = self.x.astype(np.float64), self.o
        a = normalised(x, (1, 0)) * sigmoid(self.scale) + self.shift
        if self.kind == "qkvg":
            kv = normalised(a, (1, 0)) * sigmoid(self.scale2) + self.shift2 if self.second else a
            y = [z @ w.T for z, w in zip((a, kv, kv, a), self.weights, strict=True)]
            return [y[0] + self.bias, *y[1:]]
        if self.kind == "conditioned_transition":
            gate = a @ self.weights[0].T
            o = gate * sigmoid(gate) * (a @ self.weights[1].T)
        return [x + sigmoid(self.gate) * (o @ self.weights[-1].T)]


CONDITIONED = [("qkvg", False), ("qkvg", True), ("attended", False),
               ("conditioned_transition", False)]


@pytest.mark.parametrize("kind, second", CONDITIONED)
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1, 1), (5, 7, 20, 8), (3, 37, 48, 200), (2, 70, 128, 40)]
)
def test_conditioned_layers_equal_float64(kernels, isa, kind, second, sizes):
    samples, shared, channels, hidden = sizes
    layer = Conditioned(kind, samples, shared, channels, hidden, second)
    for ours, exact in zip(layer.run(kernels, isa), layer.exact(), strict=True):
        assert_close(ours, exact)


@pytest.mark.parametrize("kind, second", CONDITIONED)
def test_nan_stays_in_its_position_of_a_sample(kernels, isa, kind, second):
    layer = Conditioned(kind, 3, 37, 20, 8, second)
    at = {"x": (1, 5, 3), "scale": (5, 3), "gate": (5, 3)}
    used = {"qkvg": ("x", "scale"), "attended": ("x", "gate")}.get(kind, at)
    for name in used:
        changed = {name: nan_at(getattr(layer, name), *at[name])}
        touched = (1, 5) if name == "x" else (slice(None), 5)  # samples share conditioning
        for clean, ours in zip(layer.run(kernels, isa), layer.run(kernels, isa, **changed)):
            assert np.isnan(ours[touched]).any(-1).all()
            ours[touched] = clean[touched]
            assert ours.tobytes() == clean.tobytes()


def test_large_logits(kernels, isa):
    attention = Attention(37, 32, 2, 32)
    attention.bias *= np.float32(1000)  # float32 resolves them to 6e-5, and so the weights
    assert_close(attention.run(kernels, False, isa), attention.exact(False), 2e-4)


@pytest.mark.parametrize("kind", ["transition", "edges", "gated_output"])
def test_large_gates(kernels, isa, kind):
    layer = Layer(kind, 33, 20, 40)
    layer.norm = layer.norm * np.float32(1000)
    for ours, exact in zip(layer.run(kernels, isa), layer.exact(), strict=True):
        assert_close(ours, exact, 2e-5)  # a gate near zero among thousands


def nan_at(x, *index):
    x = x.copy()
    x[index] = np.nan
    return x


@pytest.mark.parametrize("kind", POSITIONWISE)
def test_nan_stays_in_its_position(kernels, isa, kind):
    layer = Layer(kind, 37, 20, 40)
    changes = [{"x": nan_at(layer.x, 5, 3)}]
    if kind == "gated_output":
        changes.append({"x2": nan_at(layer.x2, 3, 5)})
    for change in changes:
        for clean, ours in zip(layer.run(kernels, isa), layer.run(kernels, isa, **change)):
            axis = int(kind in ("projection", "edges"))
            assert np.isnan(np.take(ours, 5, axis)).all()
            assert np.delete(ours, 5, axis).tobytes() == np.delete(clean, 5, axis).tobytes()


@pytest.mark.parametrize("ending", [False, True], ids=["starting", "ending"])
def test_nan_stays_in_its_row_of_attention(kernels, isa, ending):
    attention = Attention(37, 20, 2, 16)
    clean = attention.run(kernels, ending, isa)
    ours = attention.run(kernels, ending, isa, x=nan_at(attention.x, *((5, 9)[:: 1 - 2 * ending])))
    assert np.isnan(np.take(ours, 5, int(ending))).all()
    assert np.delete(ours, 5, int(ending)).tobytes() == np.delete(clean, 5, int(ending)).tobytes()
    query = attention.run(kernels, ending, isa, bias=nan_at(attention.bias, 1, 5, 9))
    assert np.isnan(np.take(query, 5, int(not ending))).all()
    assert np.isfinite(np.delete(query, 5, int(not ending))).all()


@pytest.mark.parametrize("incoming", [False, True], ids=["outgoing", "incoming"])
def test_nan_stays_in_its_edges(kernels, isa, incoming):
    a, b = normal(np.random.default_rng(0), 2, 3, 37, 37)
    clean = kernels.product(a, b, incoming, not incoming, isa)
    at = (1, 20, 7) if incoming else (1, 7, 20)
    for ours, row in ((kernels.product(nan_at(a, *at), b, incoming, not incoming, isa), True),
                      (kernels.product(a, nan_at(b, *at), incoming, not incoming, isa), False)):
        expected = nan_at(clean, 1, 7) if row else nan_at(clean, 1, slice(None), 7)
        np.testing.assert_array_equal(ours, expected)


def test_nan_stays_in_its_token_of_outer_products(kernels, isa):
    x, left, right, *rest = outer_arguments(5, 37, 8, 20)
    clean = kernels.outer_product(x, left, right, *rest, isa)
    ours = kernels.outer_product(x, nan_at(left, 2, 7, 3), right, *rest, isa)
    np.testing.assert_array_equal(ours, nan_at(clean, 7))
    ours = kernels.outer_product(x, left, nan_at(right, 3, 2, 7), *rest, isa)
    np.testing.assert_array_equal(ours, nan_at(clean, slice(None), 7))


def jobs():
    """Yield calls large enough for three threads, 1.2 million multiply-adds."""
    for kind in POSITIONWISE:
        yield kind, Layer(kind, 1000, 48, 200).run
    for kind, second in CONDITIONED:
        yield kind, Conditioned(kind, 5, 130, 48, 200, second).run
    attention = Attention(50, 32, 2, 32)
    for ending in (False, True):
        yield "attention", lambda k, threads, e=ending: [attention.run(k, e, threads=threads)]
    a, b = normal(np.random.default_rng(0), 2, 5, 130, 130)
    yield "product", lambda k, threads: [k.product(a, b, threads=threads)]
    arguments = outer_arguments(50, 37, 20, 48)
    yield "outer product", lambda k, threads: [k.outer_product(*arguments, threads=threads)]


def test_threads_do_not_change_a_bit(kernels):
    for name, run in jobs():
        alone, *others = ([y.tobytes() for y in run(kernels, threads=t)] for t in (1, 2, 3))
        assert all(other == alone for other in others), name
