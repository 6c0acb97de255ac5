# SPDX-License-Identifier: Apache-2.0
"""The host side of the Ascend ops, its very sources, compiled and run against our own stand-in
for the toolkit's interface (tests/ascend_emu/host)."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import emulated_device as device
import numpy as np
import pytest

from protenix_ms.ops.evoformer_attention import ascend

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="this machine has no g++")
FORWARD, BACKWARD = (name.removeprefix("aclnn") for name in (ascend.FORWARD, ascend.BACKWARD))
FLOAT, HALF, UINT8, BF16 = 0, 1, 4, 27
UB, RESERVED, CORES, LIBRARY_WORKSPACE = 192 * 1024 - 256, 8 * 1024, 24, 16 * 1024 * 1024
REFUSED = 0xFFFFFFFF


@pytest.fixture(scope="module")
def host(tmp_path_factory) -> ctypes.CDLL:
    here = Path(device.__file__).parent / "host"
    target = tmp_path_factory.mktemp("host") / "host.so"
    subprocess.run(
        ["g++", "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared",
         f"-I{here}", f"-I{device.SOURCES / 'op_host'}", f"-I{device.SOURCES / 'common'}",
         str(here / "run_host.cpp"), "-o", str(target)], check=True, timeout=200)
    return ctypes.CDLL(str(target))


def shapes_of(sizes, bias_groups, masked, backward):
    g, h, sq, sk, d = sizes
    shapes = [(g, sq, h, d), (g, sk, h, d), (g, sk, h, d)]
    shapes.append((bias_groups, h, sq, sk) if bias_groups else (1,))
    shapes += [(g, sk), (g, -(-sk // 64))] if masked else [(1,), (1,)]
    return shapes + [(g, sq, h, d), (g, h, sq), (g, h, sq)] if backward else shapes


def numbers(shapes):
    flat = [n for shape in shapes for n in (len(shape), *shape)]
    return (ctypes.c_int64 * len(flat))(*flat)


def tile(host, sizes, bias_groups, masked, backward, dtype=HALF):
    """Return status, tiling, and blocks, key, schedule mode and workspace."""
    shapes, schedule = shapes_of(sizes, bias_groups, masked, backward), (ctypes.c_uint64 * 4)()
    tiling = device.Tiling()
    host.host_tiling.restype = ctypes.c_uint32
    status = host.host_tiling(
        (BACKWARD if backward else FORWARD).encode(), len(shapes), numbers(shapes), dtype,
        ctypes.c_uint64(UB), CORES, ctypes.byref(tiling), schedule)
    return status, tiling, list(schedule)


CASES = [
    ((256, 4, 256, 256, 32), 1, True), ((1, 16, 768, 768, 24), 1, False),
    ((5, 16, 300, 300, 48), 1, True), ((64, 4, 32, 128, 32), 64, False),
    ((6, 2, 37, 77, 8), 3, True), ((4, 1, 16, 16, 64), None, False),
]


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("sizes, bias_groups, masked", CASES)
def test_host_reads_shapes_as_the_tests_of_the_kernels_do(
    host, sizes, bias_groups, masked, backward
):
    g, h, sq, sk, d = sizes
    status, tiling, (blocks, key, mode, workspace) = tile(
        host, sizes, bias_groups, masked, backward)
    shape = device.Shape(
        g, h, sq, sk, d, g // (bias_groups or 1), bool(bias_groups), masked,
        np.float32(1) / np.sqrt(np.float32(d)))
    expected = device.tiling_of(shape, backward, CORES, UB - RESERVED)
    assert status == 0 and bytes(tiling) == bytes(expected)
    assert blocks == expected.blocks and key == 1 and mode == int(backward)
    assert workspace == LIBRARY_WORKSPACE + expected.blocks * expected.workspacePerBlock
    assert tile(host, sizes, bias_groups, masked, backward, BF16)[2][1] == 2


@pytest.mark.parametrize("sizes, bias_groups", [
    ((4, 1, 16, 16, 72), 1), ((4, 1, 16, 16, 20), 1), ((4, 1, 16, 16, 32), 3),
])
def test_host_refuses_what_the_kernels_do_not_serve(host, sizes, bias_groups):
    assert tile(host, sizes, bias_groups, True, False)[0] == REFUSED
    assert tile(host, sizes, bias_groups, True, True)[0] == REFUSED


def inferred(host, op, shapes, dtype, outputs):
    buffer = (ctypes.c_int64 * 64)()
    assert host.host_inference(
        op.encode(), len(shapes), numbers(shapes), dtype, outputs, buffer) == 0
    results, at = [], 0
    for _ in range(outputs):
        rank = buffer[at]
        results.append((tuple(buffer[at + 1 : at + 1 + rank]), buffer[at + 1 + rank]))
        at += rank + 2
    return results


@pytest.mark.parametrize("bias_groups", [None, 1, 6])
def test_host_and_registration_infer_the_same_shapes(host, bias_groups):
    """The same rule is written in op_host and in ascend.py."""
    shapes = shapes_of((6, 2, 37, 77, 24), bias_groups, True, True)
    kinds = ((FORWARD, ascend.forward_shapes, 6, (HALF, FLOAT)),
             (BACKWARD, ascend.backward_shapes, 9, (FLOAT,) * 4))
    for op, rule, count, types in kinds:
        outputs = inferred(host, op, shapes[:count], HALF, len(types))
        expected = [tuple(s) for s in rule(*(list(s) for s in shapes[:count]))]
        assert [s for s, _ in outputs] == expected and tuple(t for _, t in outputs) == types


@pytest.mark.parametrize("op, inputs, outputs", [
    (FORWARD, ascend.INPUTS, ascend.OUTPUTS), (BACKWARD, ascend.GRAD_INPUTS, ascend.GRAD_OUTPUTS),
])
def test_definition_and_registration_agree_on_names_and_types(host, op, inputs, outputs):
    text = ctypes.create_string_buffer(4000)
    host.host_definition(op.encode(), text, ctypes.c_uint64(4000))
    lines = [line.split(" ") for line in text.value.decode().splitlines()]
    chips = [line[1] for line in lines if line[0] == "chip"]
    assert chips == ["ascend910b", "ascend910_93"]
    params = [line for line in lines if line[0] != "chip"]
    assert [line[1] for line in params] == [*inputs, *outputs]
    codes = {"float16": HALF, "bfloat16": BF16, "float32": FLOAT, "uint8": UINT8}
    table = ascend.registration(op, inputs, outputs)["dtype_format"]
    for i, (_, name, option, types, formats, unknown) in enumerate(params):
        declared = [codes[row[i][0]] for row in table]
        assert [int(t) for t in types.rstrip(",").split(",")] == declared, name
        assert option == "2" and formats == unknown == "2", name
    assert np.unique([len(row) for row in table]).tolist() == [len(params)]
