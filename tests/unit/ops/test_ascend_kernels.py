# SPDX-License-Identifier: Apache-2.0
"""The Ascend kernels, their very sources, on the emulated machine against float64. Not hardware."""

import ctypes
import shutil
from pathlib import Path

import emulated_device as device
import numpy as np
import pytest
from emulated_device import BF16, HALF, EmulationError, Machine
from mutations import Trial, relative_error, survivors
from report import CASES, NAMES, errors

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="this machine has no g++")
TOLERANCE = {HALF: 2e-3, BF16: 1.6e-2}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_and_backward(case):
    sizes, groups, masked, dtype, cores = case
    error_of = errors(case)
    assert set(error_of) == set(NAMES) - (set() if groups else {"dbias"})
    for name, error in error_of.items():
        assert error < (TOLERANCE[dtype] if name not in ("lse", "dbias") else 1e-5), name


def test_a_row_without_keys_is_zero_and_so_are_its_gradients():
    case = device.random_case((3, 1, 20, 70, 16))
    case.keep[1] = False
    trial = Trial(case, 2)
    out, lse = device.forward(case, Machine())
    assert not out[1].any() and (lse[1] > 1e29).all() and out[0].any()
    results = trial.run(True, Machine())
    assert all(not results[n][1].any() for n in ("dq", "dk", "dv")) and results["dq"][0].any()


def test_result_does_not_depend_on_the_number_of_cores():
    case = device.random_case((3, 2, 50, 100, 24))
    one, _ = device.forward(case, Machine(cores=1))
    many, _ = device.forward(case, Machine(cores=5))
    np.testing.assert_allclose(one, many, atol=2e-3)


def test_every_ablation_computes_the_same(tmp_path):
    off = [f"-DEVO_OPT_{n}=0" for n in ("ARENA", "ASYNC", "MASK", "TILING", "LEVEL0")]
    slow = ctypes.CDLL(str(device.compile_machine(tmp_path, tuple(off))))
    trial = Trial(device.random_case((3, 1, 70, 200, 24)), 2)
    fast, plain = Machine(), Machine()
    expected = device.forward(trial.case, fast)[0]
    actual = device.forward(trial.case, plain, slow)[0]
    np.testing.assert_allclose(actual, expected, atol=2e-3)
    assert plain.counters.vector_calls > 3 * fast.counters.vector_calls
    saved = (trial.dout, trial.answer["lse"], trial.answer["delta"])
    for x, name in zip(device.backward(trial.case, *saved, Machine(), slow), ("dq", "dk", "dv")):
        assert relative_error(x, trial.answer[name]) < 2e-3


def test_the_machine_refuses_a_buffer_that_does_not_fit():
    lib = device.default_machine()
    assert lib is not None
    with pytest.raises(EmulationError, match="tiling refuses"):
        device.forward(device.random_case((1, 1, 16, 16, 72)), Machine())
    with pytest.raises(EmulationError, match="tiling refuses"):
        device.forward(device.random_case((1, 1, 64, 64, 64)), Machine(ub=4096))


@pytest.fixture(scope="module")
def movable_events(tmp_path_factory) -> ctypes.CDLL:
    """Compile the kernels with the first event of L0A/L0B, and whether it is set at first, as
    variables."""
    folder = tmp_path_factory.mktemp("events")
    shutil.copytree(device.SOURCES / "op_kernel", folder / "op_kernel")
    header = Path(folder, "op_kernel", "evo_cube.h")
    text = header.read_text(encoding="utf-8")
    first_set = "AscendC::SetFlag<AscendC::HardEvent::M_MTE1>(EVO_L0_FREE + i);"
    constant = "constexpr int32_t EVO_L0_FREE = 4;"
    assert text.count(first_set) == text.count(constant) == 1
    text = text.replace(constant, 'extern "C" {\nint32_t EVO_L0_FREE = 4, EVO_L0_SET = 1;\n}')
    header.write_text(text.replace(first_set, f"if (EVO_L0_SET) {first_set}"), encoding="utf-8")
    return ctypes.CDLL(str(device.compile_machine(folder, ("-O0",), folder / "op_kernel")))


@pytest.mark.parametrize("grad", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("first, set_first, complaint", [
    (4, 1, ""), (3, 1, ""), (0, 1, "set twice"), (1, 1, "set twice"), (2, 1, "set twice"),
    (0, 0, "TPipe was consumed"), (4, 0, "nobody sets"),
])
def test_events_that_tpipe_owns_are_not_ours(movable_events, grad, first, set_first, complaint):
    """On a cube core TPipe sets M_MTE1 0 to 2 itself and waits for them in the end."""
    ctypes.c_int32.in_dll(movable_events, "EVO_L0_FREE").value = first
    ctypes.c_int32.in_dll(movable_events, "EVO_L0_SET").value = set_first
    trial = Trial(device.random_case((1, 1, 32, 64, 16)), 1)
    saved = (trial.dout, trial.answer["lse"], trial.answer["delta"])

    def run() -> None:
        if grad:
            device.backward(trial.case, *saved, Machine(cores=1), movable_events)
        else:
            device.forward(trial.case, Machine(cores=1), movable_events)

    if not complaint:
        run()
        return
    with pytest.raises(EmulationError, match=complaint):
        run()


@pytest.mark.parametrize("grad", [False, True], ids=["forward", "backward"])
def test_every_mutant_is_noticed(grad):
    """Each synchronisation removed, each stride off by one, each buffer a block too small."""
    alive, count = survivors(grad)
    assert count > 150 and not alive
