# SPDX-License-Identifier: Apache-2.0
"""evo_tiling.h: every shape of the model fits every memory, and every core has work."""

import ctypes
import shutil

import emulated_device as device
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="this machine has no g++")
L1 = 512 * 1024 - 256
CORES = 24


def tiling(shape: device.Shape, grad: bool, cores: int = CORES, ub: int = device.UNIFIED_BUFFER):
    """Compute the tiling, and bytes of unified buffer and L1 it takes; None where it refuses."""
    run = device._Run(shape=shape, grad=grad, needDbias=1, cores=cores, ub=ub)
    lib = device.default_machine()
    if not lib.evo_tiling(ctypes.byref(run)):
        return None
    used, l1 = ctypes.c_uint64(), ctypes.c_uint64()
    lib.evo_buffers(ctypes.byref(run), ctypes.byref(used), ctypes.byref(l1))
    return run.tiling, used.value, l1.value


def check(t: device.Tiling, shape: device.Shape, grad: bool) -> None:
    assert t.tileQ % 16 == 0 and t.tileK % 64 == 0 and t.passRows % 8 == 0 and t.half % 8 == 0
    assert t.half * 2 >= t.tileQ and t.passRows <= t.half <= 64
    assert t.nq * t.tileQ >= shape.Sq > (t.nq - 1) * t.tileQ
    assert t.nk * t.tileK >= shape.Sk > (t.nk - 1) * t.tileK
    assert t.tileK // 8 <= 255, "strides of vector instructions are bytes"
    assert t.tileQ * min(t.tileK, 128) * 4 <= 64 * 1024, "a slot of L0C"
    assert 1 <= t.blocks <= min(CORES, t.nTask)
    assert t.workspacePerBlock % 512 == 0
    if grad:
        assert t.segments * t.perSegment >= shape.biasDiv > (t.segments - 1) * t.perSegment
        assert t.nTask == shape.G // shape.biasDiv * shape.H * t.nq * t.nk * t.segments
    else:
        assert t.nTask == shape.G * shape.H * t.nq


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 3072), st.integers(1, 3072), st.integers(1, 8), st.integers(1, 64),
    st.integers(1, 16), st.sampled_from([1, 2, 0]), st.booleans(),
)
def test_any_shape_fits(sq, sk, d8, g, h, div, grad):
    g = g * 2 if div == 2 else g
    shape = device.Shape(g, h, sq, sk, d8 * 8, div or g, 1, 1, 1.0)
    t, used, l1 = tiling(shape, grad)
    check(t, shape, grad)
    assert used <= device.UNIFIED_BUFFER and l1 <= L1


@pytest.mark.parametrize("n", [16, 64, 128, 256, 384, 768, 1536, 3072])
@pytest.mark.parametrize("d", [24, 32, 48, 64])
def test_tiles_fill_the_buffer(n, d):
    """The rule is worth having only if it comes close to what the buffer allows."""
    t, used, _ = tiling(device.Shape(n, 4, n, n, d, n, 1, 1, 1.0), False)
    assert t.blocks == min(CORES, t.nTask)
    if n >= 128:
        assert used > 0.7 * device.UNIFIED_BUFFER and t.passRows * t.tileK >= 6144


def test_small_problems_use_every_core():
    t, _, _ = tiling(device.Shape(1, 16, 128, 128, 24, 1, 1, 0, 1.0), False)
    assert t.nTask >= CORES and t.tileQ < 128
    t, _, _ = tiling(device.Shape(64, 1, 128, 128, 24, 64, 1, 0, 1.0), True)
    assert t.nTask >= 20 and t.segments > 1


@pytest.mark.parametrize("change", [{"D": 72}, {"D": 20}, {"G": 3, "biasDiv": 2}, {"Sk": 0}])
def test_what_is_not_served_is_refused(change):
    numbers = {"G": 2, "H": 2, "Sq": 64, "Sk": 64, "D": 32, "biasDiv": 1} | change
    shape = device.Shape(hasBias=1, hasMask=0, scale=1.0, **numbers)
    assert tiling(shape, False) is None and tiling(shape, True) is None
