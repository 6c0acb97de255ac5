# SPDX-License-Identifier: Apache-2.0
"""Smooth lDDT and its derivative: the C kernel against float64, on every instruction set."""

import ctypes

import numpy as np
import pytest

ISA = {"plain": 1, "avx2": 2, "avx512": 3}
THRESHOLDS = (0.5, 1.0, 2.0, 4.0)


class SmoothLddtArgs(ctypes.Structure):
    """`PmsSmoothLddt` of csrc/cpu/kernels.h."""

    _fields_ = [
        *[(n, ctypes.c_void_p) for n in
          ("x", "known", "resolved", "reach", "score", "gradient", "pairs")],
        ("samples", ctypes.c_int64), ("atoms", ctypes.c_int64),
    ]


def arrays(samples: int, atoms: int) -> tuple[np.ndarray, ...]:
    """Draw samples near a known structure, one of them far off; a fifth of the atoms unknown."""
    rng = np.random.default_rng(atoms)
    known = (8 * rng.standard_normal((atoms, 3))).astype("f4")
    x = known + (2 * rng.standard_normal((samples, atoms, 3))).astype("f4")
    x[0] *= 50
    resolved = (rng.random(atoms) < 0.8).astype("f4")
    reach = (np.where(rng.random(atoms) < 0.3, 30, 15) * resolved).astype("f4")
    return x, known, resolved, reach


def run(library, inputs, isa: int = 0, threads: int = 1) -> list[np.ndarray]:
    x, (samples, atoms) = inputs[0], inputs[0].shape[:2]
    out = [np.full(s, np.nan, "f4") for s in ((samples, atoms), x.shape, (atoms,))]
    args = SmoothLddtArgs(*(a.ctypes.data for a in (*inputs, *out)), samples, atoms)
    assert library.pms_smooth_lddt(ctypes.byref(args), isa, threads) == 0
    return out


def exact(x, known, resolved, reach) -> tuple[np.ndarray, ...]:
    """Compute it by its definition in float64; the derivative by hand."""
    x, known = x.astype("f8"), known.astype("f8")
    apart, truth = x[:, :, None] - x[:, None], known[:, None] - known
    d, true = (np.sqrt(np.square(v).sum(-1) + 1e-12) for v in (apart, truth))
    mask = (true < reach[:, None]) & (resolved > 0) & ~np.eye(len(known), dtype=bool)
    error = np.abs(d - true)
    kept = [0.5 + 0.5 * np.tanh((t - error) / 2) for t in THRESHOLDS]
    slope = sum(-k * (1 - k) for k in kept) / 4 * np.sign(d - true) / d
    pull = ((mask.astype("f8") + mask.T) * slope)[..., None] * apart
    return (sum(kept) / 4 * mask).sum(2), pull.sum(2), mask.sum(1)


@pytest.mark.parametrize("isa", ISA)
@pytest.mark.parametrize("atoms", [1, 3, 64, 131])
def test_equals_float64(kernels, isa, atoms):
    if isa not in kernels.isas():
        pytest.skip(f"this machine has no {isa}")
    inputs = arrays(3, atoms)
    score, gradient, pairs = run(kernels.library, inputs, ISA[isa])
    true_score, true_gradient, true_pairs = exact(*inputs)
    assert np.array_equal(pairs, true_pairs)
    # sums of up to 131 numbers of order one in fp32
    np.testing.assert_allclose(score, true_score, rtol=2e-6, atol=1e-5)
    np.testing.assert_allclose(gradient, true_gradient, atol=1e-5)


def test_threads_do_not_change_a_bit(kernels):
    inputs = arrays(4, 300)
    outputs = [[a.tobytes() for a in run(kernels.library, inputs, threads=t)] for t in (1, 2, 5)]
    assert outputs[0] == outputs[1] == outputs[2]
