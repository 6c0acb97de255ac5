# SPDX-License-Identifier: Apache-2.0
"""How our ops are called where `ops.Custom` behaves as on Ascend. Emulated, no hardware."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from emulated_ops import our_ops
from mindspore import Parameter, nn, ops

from protenix_ms.ops.evoformer_attention.ascend import ascend_attention
from protenix_ms.ops.evoformer_attention.reference import reference_attention
from protenix_ms.runtime.compiled import CompiledBlocks
from protenix_ms.runtime.policy import policy, using

ROOT = Path(__file__).parents[3]
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="this machine has no g++")


def tensors(seed, turned):
    rng = np.random.default_rng(seed)
    q, k, v = (ms.Tensor(rng.normal(size=(1, 20, 20, 2, 24)).astype(np.float16)) for _ in "qkv")
    bias = ms.Tensor(rng.normal(size=(1, 1, 2, 20, 20)).astype(np.float16))
    if turned:
        q, k, v = (ops.transpose(x, (0, 2, 1, 3, 4)) for x in (q, k, v))
        bias = ops.transpose(bias, (0, 1, 2, 4, 3))
    return q, k, v, bias


class Block(nn.Cell):
    def __init__(self, turned):
        super().__init__()
        self.turned = turned
        self.weight = Parameter(ms.Tensor(np.full(24, 1.5, np.float16)))

    def construct(self, q, k, v, bias):
        q = q * self.weight
        if self.turned:
            q, k, v = (ops.transpose(x, (0, 2, 1, 3, 4)) for x in (q, k, v))
            bias = ops.transpose(bias, (0, 1, 2, 4, 3))
        return ascend_attention(q, k, v, bias, None, 24**-0.5)


@needs_compiler
@pytest.mark.parametrize("turned", [False, True], ids=["plain", "turned"])
def test_a_recorded_graph_computes_our_op_anew(turned):
    block, blocks = Block(turned).set_train(False), CompiledBlocks()
    with our_ops(), using(replace(policy(), jit=True)):
        for seed in (0, 1):
            inputs = tensors(seed, False)
            actual = blocks(block, *inputs).asnumpy()
            np.testing.assert_array_equal(actual, block(*inputs).asnumpy())
    assert len(blocks) == 1


@needs_compiler
def test_views_reach_our_op_as_copies():
    inputs = tensors(0, True)
    with our_ops():
        actual = ascend_attention(*inputs, None, 24**-0.5).astype(ms.float32).asnumpy()
    wide = tuple(x.astype(ms.float32) for x in inputs)
    exact = reference_attention(*wide, None, 24**-0.5).asnumpy()
    np.testing.assert_allclose(actual, exact, atol=5e-3 * np.abs(exact).max())


def test_the_verification_keeps_the_python_path_of_the_toolkit(tmp_path):
    line = next(x for x in (ROOT / "scripts/verify_on_ascend.sh").read_text().splitlines()
                if "PYTHONPATH=" in x)
    value = line.split()[0]
    printed = subprocess.run(
        ["bash", "-c", f'root=/ours; {value} bash -c \'echo "$PYTHONPATH"\''], check=True,
        env=os.environ | {"PYTHONPATH": "/toolkit"}, capture_output=True, text=True).stdout
    assert printed.strip() == "/ours:/toolkit"


def test_host_functions_stay_out_of_the_kernels():
    source = (ROOT / "protenix_ms/ops/evoformer_attention/csrc/ascend/op_kernel/evo_sync.h")
    text = source.read_text()
    assert text.index("#define EVO_KERNEL") < text.index('#include "evo_tiling.h"')
