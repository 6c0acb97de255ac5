# SPDX-License-Identifier: Apache-2.0
"""The C kernels called straight through ctypes on numpy arrays, without MindSpore."""

from __future__ import annotations

import ctypes
from ctypes import c_float, c_int, c_int64

import numpy as np
import pytest

from protenix_ms.ops import native

POINTER = ctypes.c_void_p
ISA = {"plain": 1, "avx2": 2, "avx512": 3}


class AttentionArgs(ctypes.Structure):
    """`PmsAttention` of csrc/cpu/kernels.h."""

    _fields_ = [
        *[(n, POINTER) for n in (
            "q", "k", "v", "bias", "mask", "keep", "gate", "out", "lse", "dout", "dq", "dk",
            "dv", "dbias", "dgate",
        )],
        *[(n, c_int64) for n in ("batch", "rows", "heads", "queries", "keys", "width")],
        ("q_stride", c_int64 * 4), ("k_stride", c_int64 * 4),
        ("bias_stride", c_int64 * 2), ("mask_stride", c_int64 * 2), ("scale", c_float),
        ("tokens", c_int64), ("window_left", c_int64),
    ]


class LayerNormArgs(ctypes.Structure):
    """`PmsLayerNorm` of csrc/cpu/kernels.h."""

    _fields_ = [
        *[(n, POINTER) for n in ("x", "weight", "bias", "y", "dy", "dx", "dweight", "dbias")],
        *[(n, c_int64) for n in ("count", "channels")],
        ("channel_first", c_int), ("epsilon", c_float),
    ]


class GateArgs(ctypes.Structure):
    """`PmsGate` of csrc/cpu/kernels.h."""

    _fields_ = [
        *[(n, POINTER) for n in ("x", "gate", "y", "dy", "dx", "dgate")],
        ("size", c_int64), ("swish", c_int),
    ]


class OuterSumArgs(ctypes.Structure):
    """`PmsOuterSum` of csrc/cpu/kernels.h."""

    _fields_ = [
        *[(n, POINTER) for n in ("left", "right", "y", "dy", "dleft", "dright")],
        *[(n, c_int64) for n in ("rows", "columns", "channels")],
    ]


class NormArgs(ctypes.Structure):
    """`PmsNorm` of csrc/cpu/kernels.h."""

    _fields_ = [("weight", POINTER), ("bias", POINTER), ("epsilon", c_float)]


class PairLayerArgs(ctypes.Structure):
    """`PmsPairLayer` of csrc/cpu/kernels.h."""

    _fields_ = [
        ("kind", c_int), ("x", POINTER), ("x2", POINTER), ("norm", NormArgs), ("norm2", NormArgs),
        ("weights", POINTER * 5), *[(n, POINTER) for n in ("bias", "y", "y2")],
        *[(n, c_int64) for n in ("count", "channels", "hidden", "tokens", "heads")],
        ("ending", c_int), ("scale", c_float),
    ]


class TransitionGradientArgs(ctypes.Structure):
    """`PmsTransitionGradient` of csrc/cpu/kernels.h."""

    _fields_ = [
        ("x", POINTER), ("dy", POINTER), ("norm", NormArgs), ("weights", POINTER * 3),
        *[(n, POINTER) for n in ("dx", "dnorm_weight", "dnorm_bias")], ("dweights", POINTER * 3),
        *[(n, c_int64) for n in ("count", "channels", "hidden")],
    ]


class ProductArgs(ctypes.Structure):
    """`PmsProduct` of csrc/cpu/kernels.h."""

    _fields_ = [
        *[(n, POINTER) for n in "aby"],
        *[(n, c_int64) for n in ("batch", "rows", "columns", "depth")],
        ("turned_a", c_int), ("turned_b", c_int),
    ]


class OuterProductArgs(ctypes.Structure):
    """`PmsOuterProduct` of csrc/cpu/kernels.h."""

    _fields_ = [
        *[(n, POINTER) for n in ("x", "left", "right", "weight", "bias", "y")],
        *[(n, c_int64) for n in ("rows", "tokens", "hidden", "channels")], ("scale", c_float),
    ]


class ConditionedArgs(ctypes.Structure):
    """`PmsConditioned` of csrc/cpu/kernels.h."""

    _fields_ = [
        ("kind", c_int),
        *[(n, POINTER) for n in ("x", "o", "scale", "shift", "scale2", "shift2", "gate")],
        ("weights", POINTER * 4), ("bias", POINTER), ("y", POINTER * 4),
        *[(n, c_int64) for n in ("count", "channels", "hidden", "shared")], ("epsilon", c_float),
    ]


PAIR_KINDS = ("projection", "linear", "transition", "edges", "gated_output", "triangle_attention")
CONDITIONED_KINDS = ("qkvg", "attended", "conditioned_transition")


def address(x):
    return None if x is None else x.ctypes.data


def strides(x, *axes):
    """Return element strides of the axes, 0 where the extent is 1 (shared)."""
    return tuple(0 if x.shape[i] == 1 else x.strides[i] // x.itemsize for i in axes)


def aligned(shape):
    """Make an array of NaN that begins with a cache line, as MindSpore's arrays do."""
    size = int(np.prod(shape))
    memory = np.full(size + 16, np.nan, np.float32)
    first = -memory.ctypes.data % 64 // 4
    return memory[first : first + size].reshape(shape)


def empty_as(x):
    """Make an array of x's shape and strides, full of NaN."""
    new = np.lib.stride_tricks.as_strided(
        np.full(x.size, np.nan, np.float32), x.shape, x.strides
    )
    assert new.strides == x.strides
    return new


class Kernels:
    """Calls kernels by name of instruction set; arrays are [batch, row, token, head, channel]
    views."""

    def __init__(self, library):
        self.library = library

    def isas(self):
        return [name for name, isa in ISA.items() if isa <= self.library.pms_best_isa()]

    def _attention(self, q, k, v, bias, mask, gate, scale):
        assert k.strides == v.strides and (gate is None or gate.strides == q.strides)
        a = AttentionArgs(scale=scale, q=address(q), k=address(k), v=address(v))
        a.batch, a.rows, a.queries, a.heads, a.width = q.shape
        a.keys = k.shape[2]
        a.q_stride[:] = [s // 4 for s in q.strides[:4]]
        a.k_stride[:] = [s // 4 for s in k.strides[:4]]
        if bias is not None:
            a.bias, a.bias_stride[:] = address(bias), strides(bias, 0, 1)
        if mask is not None:
            a.mask_stride[:] = strides(mask, 0, 1)
            setattr(a, "keep" if mask.dtype == bool else "mask", address(mask))
        a.gate = address(gate)
        return a

    def forward(self, q, k, v, bias=None, mask=None, gate=None, scale=1.0, isa=0, threads=1):
        a = self._attention(q, k, v, bias, mask, gate, scale)
        out = empty_as(q)
        lse = np.full((a.batch, a.rows, a.heads, a.queries), np.nan, np.float32)
        a.out, a.lse = address(out), address(lse)
        status = self.library.pms_attention_forward(ctypes.byref(a), ISA.get(isa, 0), threads)
        assert status == 0
        return out, lse

    def backward(self, q, k, v, bias, mask, gate, scale, out, lse, dout, isa=0, threads=1):
        a = self._attention(q, k, v, bias, mask, gate, scale)
        a.out, a.lse, a.dout = address(out), address(lse), address(dout)
        grads = {"q": empty_as(q), "k": empty_as(k), "v": empty_as(v)}
        if bias is not None:
            grads["bias"] = empty_as(bias)
        if gate is not None:
            grads["gate"] = empty_as(gate)
        for name, g in grads.items():
            setattr(a, f"d{name}", address(g))
        status = self.library.pms_attention_backward(ctypes.byref(a), ISA.get(isa, 0), threads)
        assert status == 0
        return grads

    def _layer_norm(self, x, weight, bias, channel_first):
        a = LayerNormArgs(x=address(x), weight=address(weight), bias=address(bias), epsilon=1e-5)
        a.count, a.channels = x.shape[::-1] if channel_first else x.shape
        a.channel_first = channel_first
        return a

    def layer_norm(self, x, weight, bias, channel_first=False, isa=0, threads=1):
        a = self._layer_norm(x, weight, bias, channel_first)
        y = np.full((a.count, a.channels), np.nan, np.float32)
        a.y = address(y)
        assert not self.library.pms_layer_norm_forward(ctypes.byref(a), ISA.get(isa, 0), threads)
        return y

    def layer_norm_backward(self, x, weight, dy, channel_first=False, isa=0, threads=1):
        a = self._layer_norm(x, weight, None, channel_first)
        grads = [empty_as(x), *np.full((2, a.channels), np.nan, np.float32)]
        a.dy, a.dx, a.dweight, a.dbias = address(dy), *map(address, grads)
        assert not self.library.pms_layer_norm_backward(ctypes.byref(a), ISA.get(isa, 0), threads)
        return grads

    def gate(self, x, gate, dy, swish, isa=0, threads=1):
        """Return output and both gradients."""
        results = [empty_as(x) for _ in range(3)]
        y, dx, dgate = map(address, results)
        a = GateArgs(address(x), address(gate), y, address(dy), dx, dgate, x.size, swish)
        assert not self.library.pms_gate_forward(ctypes.byref(a), ISA.get(isa, 0), threads)
        assert not self.library.pms_gate_backward(ctypes.byref(a), ISA.get(isa, 0), threads)
        return results

    def outer_sum(self, left, right, dy, isa=0, threads=1):
        """Return output and both gradients."""
        results = [empty_as(dy), empty_as(left), empty_as(right)]
        y, dleft, dright = map(address, results)
        a = OuterSumArgs(address(left), address(right), y, address(dy), dleft, dright, *dy.shape)
        assert not self.library.pms_outer_sum_forward(ctypes.byref(a), ISA.get(isa, 0), threads)
        assert not self.library.pms_outer_sum_backward(ctypes.byref(a), ISA.get(isa, 0), threads)
        return results

    def pair_layer(self, kind, x, weights, outputs, isa=0, threads=1, **fields):
        """Return outputs of those shapes; `norm` and `norm2` are pairs of weight and bias."""
        results = [aligned(shape) for shape in outputs]
        a = PairLayerArgs(kind=PAIR_KINDS.index(kind), x=address(x), y=address(results[0]))
        a.y2 = address(results[-1])
        a.weights[: len(weights)] = [address(w) for w in weights]
        a.channels, a.count = x.shape[-1], x.size // x.shape[-1]
        for name, value in fields.items():
            if name.startswith("norm"):
                value = NormArgs(*map(address, value), 1e-5)
            setattr(a, name, address(value) if isinstance(value, np.ndarray) else value)
        assert not self.library.pms_pair_layer(ctypes.byref(a), ISA.get(isa, 0), threads)
        return results

    def transition_gradient(self, x, dy, norm, weights, isa=0, threads=1):
        """Return the gradients of x, the norm's weight and bias, and the three weights."""
        results = [empty_as(a) for a in (x, *norm, *weights)]
        dx, dnorm, dbias, *dweights = map(address, results)
        a = TransitionGradientArgs(address(x), address(dy), NormArgs(*map(address, norm), 1e-5))
        a.weights[:], a.dweights[:] = [address(w) for w in weights], dweights
        a.dx, a.dnorm_weight, a.dnorm_bias = dx, dnorm, dbias
        a.count, a.channels, a.hidden = *x.shape, len(weights[0])
        assert not self.library.pms_transition_gradient(
            ctypes.byref(a), ISA.get(isa, 0), threads)
        return results

    def conditioned(self, kind, x, weights, outputs, isa=0, threads=1, **fields):
        """Return as many outputs as asked for, of the shape of x; arrays by the names of the
        fields."""
        results = [empty_as(x) for _ in range(outputs)]
        a = ConditionedArgs(kind=CONDITIONED_KINDS.index(kind), x=address(x), epsilon=1e-5)
        a.weights[: len(weights)] = [address(w) for w in weights]
        a.y[:outputs] = [address(y) for y in results]
        a.channels, a.count = x.shape[-1], x.size // x.shape[-1]
        for name, value in fields.items():
            setattr(a, name, address(value) if isinstance(value, np.ndarray) else value)
        assert not self.library.pms_conditioned(ctypes.byref(a), ISA.get(isa, 0), threads)
        return results

    def product(self, a, b, turned_a=False, turned_b=False, isa=0, threads=1):
        rows, depth = a.shape[:0:-1] if turned_a else a.shape[1:]
        y = aligned((len(a), rows, b.shape[1 if turned_b else 2]))
        p = ProductArgs(*map(address, (a, b, y)), *y.shape, depth, turned_a, turned_b)
        assert not self.library.pms_product(ctypes.byref(p), ISA.get(isa, 0), threads)
        return y

    def outer_product(self, x, left, right, weight, bias, scale, isa=0, threads=1):
        y = empty_as(x)
        o = OuterProductArgs(*map(address, (x, left, right, weight, bias, y)))
        o.rows, o.tokens, o.hidden = left.shape
        o.channels, o.scale = x.shape[-1], scale
        assert not self.library.pms_outer_product(ctypes.byref(o), ISA.get(isa, 0), threads)
        return y


@pytest.fixture(scope="session")
def kernels() -> Kernels:
    library = native.library()
    if library is None:
        pytest.skip("this machine has no C++ compiler: the CPU kernels cannot be tested")
    return Kernels(library)
