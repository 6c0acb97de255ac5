# SPDX-License-Identifier: Apache-2.0
"""The C attention kernel against float64 numpy: shapes, tails, strides, masks, gradients, threads.

Gradients are checked against the analytic ones in float64, which are themselves checked against
finite differences.
"""

import ctypes
from dataclasses import dataclass

import numpy as np
import pytest


@dataclass(frozen=True)
class Case:
    """Holds extents and options; `bias` and `mask` give the first two axes, None for absent."""

    batch: int = 1
    rows: int = 2
    queries: int = 7
    keys: int = 7
    heads: int = 2
    width: int = 32
    bias: tuple | None = (1, 1)
    mask: tuple | None = None
    additive: bool = False
    gate: bool = False
    ending: bool = False


CASES = {
    "triangle": Case(rows=5, queries=45, keys=45, heads=4, gate=True),
    "triangle ending, masked": Case(
        rows=3, queries=37, keys=37, heads=4, gate=True, ending=True, mask=(1, 3)
    ),
    "single attention": Case(rows=1, queries=33, keys=33, heads=3, width=24),
    "samples share a bias": Case(rows=5, queries=19, keys=19, heads=2, width=48),
    "windows": Case(batch=2, rows=3, queries=32, keys=128, bias=(1, 3), mask=(1, 3), width=32),
    "bias per batch": Case(batch=2, rows=3, bias=(2, 1), mask=(2, 3), additive=True),
    "bias per batch and row": Case(batch=2, rows=3, bias=(2, 3), width=64),
    "no bias": Case(bias=None, mask=(1, 1), width=8, keys=65),
    "narrow": Case(width=8, queries=1, keys=1),
    "odd width": Case(width=17, queries=13, keys=31, gate=True),
    "long": Case(rows=1, bias=None, queries=131, keys=777, width=24),
    "long, masked": Case(rows=2, bias=None, mask=(1, 2), queries=50, keys=512, width=17, gate=True),
    "long, additive": Case(rows=2, heads=1, bias=None, mask=(1, 1), additive=True, queries=13,
                           keys=1025, width=64),
    "many queries": Case(rows=1, heads=1, queries=301, keys=97, width=16),
}


def inputs(case: Case, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    def tokens(n):  # an ending node reads columns of the same buffer as rows
        if case.ending:
            return normal(case.batch, n, case.rows, case.heads, case.width).swapaxes(1, 2)
        return normal(case.batch, case.rows, n, case.heads, case.width)

    x = {"q": tokens(case.queries), "k": tokens(case.keys), "v": tokens(case.keys)}
    x["bias"] = case.bias and normal(*case.bias, case.heads, case.queries, case.keys)
    x["mask"] = None
    if case.mask:
        keep = rng.random((*case.mask, case.keys)) < 0.7
        keep[..., 0] = True
        keep[0, 0] = case.keys == 1  # one row has no key at all
        x["mask"] = np.where(keep, normal(*keep.shape), -1e9).astype(np.float32) \
            if case.additive else keep
    x["gate"] = tokens(case.queries) if case.gate else None
    x["scale"] = case.width ** -0.5
    return x


def exact(q, k, v, bias, mask, gate, scale):
    """Compute output and log-sum-exp in float64; queries without a key give 0 and +inf."""
    logits = np.einsum("brqhd,brkhd->brhqk", q.astype(np.float64) * scale, k)
    if bias is not None:
        logits = logits + bias
    if mask is not None:
        keep = mask if mask.dtype == bool else mask > -1e8
        extra = 0.0 if mask.dtype == bool else np.where(keep, mask, 0.0)[:, :, None, None]
        logits = np.where(keep[:, :, None, None], logits + extra, -np.inf)
    top = logits.max(-1, keepdims=True)
    weights = np.exp(logits - np.where(np.isfinite(top), top, 0.0))
    total = weights.sum(-1, keepdims=True)
    p = weights / np.where(total > 0, total, 1.0)
    lse = np.where(total > 0, top + np.log(np.where(total > 0, total, 1.0)), np.inf)[..., 0]
    out = np.einsum("brhqk,brkhd->brqhd", p, v.astype(np.float64))
    opened = 1.0 if gate is None else 0.5 + 0.5 * np.tanh(0.5 * gate.astype(np.float64))
    return out * opened, lse, p, out, opened


def summed_to(x, shape):
    """Sum over the axes that `shape` shares."""
    return x.sum(tuple(i for i in (0, 1) if shape[i] == 1), keepdims=True).reshape(shape)


def exact_gradients(q, k, v, bias, mask, gate, scale, dout):
    _, _, p, ungated, opened = exact(q, k, v, bias, mask, gate, scale)
    g = dout * opened
    dp = np.einsum("brqhd,brkhd->brhqk", g, v.astype(np.float64))
    ds = p * (dp - (p * dp).sum(-1, keepdims=True))
    grads = {
        "q": np.einsum("brhqk,brkhd->brqhd", ds, k.astype(np.float64)) * scale,
        "k": np.einsum("brhqk,brqhd->brkhd", ds, q.astype(np.float64)) * scale,
        "v": np.einsum("brhqk,brqhd->brkhd", p, g),
    }
    if bias is not None:
        grads["bias"] = summed_to(ds, bias.shape)
    if gate is not None:
        grads["gate"] = dout * ungated * opened * (1 - opened)
    return grads


def error(ours, reference):
    """Return the error relative to the largest value; some gradients are exactly zero."""
    return np.abs(ours - reference).max() / max(np.abs(reference).max(), 0.1)


@pytest.mark.parametrize("isa", ["plain", "avx2", "avx512"])
@pytest.mark.parametrize("name", CASES)
def test_kernel_equals_float64(kernels, name, isa):
    if isa not in kernels.isas():
        pytest.skip(f"this machine has no {isa}")
    x = inputs(CASES[name])
    out, lse = kernels.forward(**x, isa=isa)
    expected, expected_lse, *_ = exact(**x)
    assert error(out, expected) < 2e-6
    np.testing.assert_allclose(lse, expected_lse, rtol=2e-6, atol=2e-6)

    dout = np.random.default_rng(1).standard_normal(x["q"].shape).astype(np.float32)
    dout = np.copyto(aligned := np.empty_like(x["q"]), dout) or aligned
    grads = kernels.backward(**x, out=out, lse=lse, dout=dout, isa=isa)
    for key, expected in exact_gradients(**x, dout=dout.astype(np.float64)).items():
        assert error(grads[key], expected) < 1e-5, key


@pytest.mark.parametrize("name", ["triangle", "windows", "samples share a bias", "many queries",
                                  "long"])
def test_threads_do_not_change_a_bit(kernels, name):
    x = inputs(CASES[name])
    x = {n: (np.concatenate([t] * 4, 1) if n in "qkv" or n == "gate" and t is not None else t)
         for n, t in x.items()} if CASES[name].bias == (1, 1) else x
    results = []
    for threads in (1, 2, 5, 0):
        out, lse = kernels.forward(**x, threads=threads)
        grads = kernels.backward(**x, out=out, lse=lse, dout=out, threads=threads)
        results.append([out, lse, *grads.values()])
    for other in results[1:]:
        for a, b in zip(results[0], other):
            assert a.tobytes() == b.tobytes()


def test_exact_gradients_equal_finite_differences():
    x = inputs(Case(rows=2, queries=3, keys=4, width=8, gate=True, mask=(1, 2)))
    x = {n: t.astype(np.float64) if isinstance(t, np.ndarray) and t.dtype != bool else t
         for n, t in x.items()}
    dout = np.random.default_rng(2).standard_normal(x["q"].shape)
    grads = exact_gradients(**x, dout=dout)
    for key, grad in grads.items():
        step = 1e-6 * np.random.default_rng(3).standard_normal(grad.shape)
        up, down = ({**x, key: x[key] + s} for s in (step, -step))
        change = ((exact(**up)[0] - exact(**down)[0]) * dout).sum() / 2
        assert np.isclose(change, (grad * step).sum(), rtol=1e-6), key


def test_far_logits_and_gates_stay_finite(kernels):
    x = inputs(Case(gate=True, queries=14, keys=40))
    x["bias"] *= 1e4
    x["gate"] *= 1e3
    out, lse = kernels.forward(**x)
    expected, expected_lse, *_ = exact(**x)
    assert np.isfinite(out).all()
    np.testing.assert_allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize("where", ["q", "k", "v", "bias"])
def test_nan_is_passed_on_not_hidden(kernels, where):
    x = inputs(Case(queries=14, keys=40, heads=1, rows=1))
    x[where][..., :1, :] = np.nan
    out, _ = kernels.forward(**x)
    assert np.isnan(out).any()
    x[where][...] = np.nan
    out, _ = kernels.forward(**x)
    assert np.isnan(out).all()


def test_no_keys_at_all_gives_zero(kernels):
    x = inputs(Case(bias=None))
    x["k"] = x["v"] = np.zeros((1, 2, 0, 2, 32), np.float32)
    out, lse = kernels.forward(**x)
    assert not out.any() and np.isposinf(lse).all()


def test_an_absent_instruction_set_is_refused(kernels):
    x = inputs(Case())
    a = kernels._attention(*(x[n] for n in ("q", "k", "v", "bias", "mask", "gate", "scale")))
    assert kernels.library.pms_attention_forward(ctypes.byref(a), 9, 1) == 2


@pytest.mark.parametrize("isa", ["plain", "avx2", "avx512"])
def test_long_rows_without_their_first_keys_and_with_large_scores(kernels, isa):
    if isa not in kernels.isas():
        pytest.skip(f"this machine has no {isa}")
    x = inputs(CASES["long, masked"])
    x["mask"][:] = True
    x["mask"][..., :300] = False  # a tile and more without any key
    x["q"][..., 5, :, :] *= 40  # its largest score rises from tile to tile
    out, lse = kernels.forward(**x, isa=isa)
    expected, expected_lse, *_ = exact(**x)
    assert error(out, expected) < 4e-6
    np.testing.assert_allclose(lse, expected_lse, rtol=2e-6, atol=2e-6)
    x["k"][0, 0, 400, 0, 3] = np.nan
    out, _ = kernels.forward(**x, isa=isa)
    assert np.isnan(out[0, 0, :, 0]).all() and np.isfinite(out[0, 0, :, 1]).all()
