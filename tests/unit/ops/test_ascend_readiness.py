# SPDX-License-Identifier: Apache-2.0
"""No MindSpore call of a prediction is unknown on Ascend; and a call that is, shows.

`scripts/ascend_readiness.py` also makes a training step and runs the tiny variant at full width.
"""

import shutil
from pathlib import Path

import mindspore as ms
import numpy as np
import prediction_replay as replay
import pytest
from mindspore import Tensor, ops
from platforms import documented, registered
from prediction_recording import Recording
from readiness import Check, attention_and_gradients, named_in_sources, table

from protenix_ms.runtime.draws import SeededDraws

ROOT = Path(__file__).resolve().parents[3]
RECORDED = ROOT / "tests" / "golden" / "tiny" / "protenix_base_default_v1.0.0_msa"
pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="this machine has no g++")


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_prediction_has_no_unexplained_call(dtype):
    recording = Recording.read(RECORDED)
    recording.config.model.N_cycle = recording.config.sample_diffusion.N_step = 1
    recording.config.sample_diffusion.N_sample = 1
    model, check = replay.build(recording), Check()
    with check.run(dtype, "not in this test"):
        model.predict(recording.features, SeededDraws(0, 0))
    rows = check.rows(named_in_sources(ROOT / "protenix_ms"))
    assert not [row for row in rows if row.open], table(rows)
    ran = {row.name for row in rows if row.types or row.kernel}
    assert {"Custom", "ops.flash_attention_score"} & ran == (
        {"ops.flash_attention_score"} if dtype == "bf16" else set())
    assert {"MatMul", "LayerNorm", "ops.gather", "Tensor.__getitem__", "Softmax"} <= ran
    low = [row.name for row in rows if "BFloat16" in row.types]
    assert bool(low) == (dtype == "bf16") and ("MatMul" in low) == (dtype == "bf16")


@pytest.mark.parametrize("obstacle", [None, "not built"])
def test_attention_and_its_gradients_have_none(obstacle):
    check = Check()
    with check.run("bf16", obstacle):
        attention_and_gradients()
    rows = check.rows()
    assert not [row for row in rows if row.open], table(rows)
    assert ("Custom" in check.recorder.calls) == (obstacle is None)
    assert {"Add", "Mul"} & check.kernels


def findings(work, dtype="fp32"):
    check = Check()
    with check.run(dtype):
        work()
    return {row.name: row.findings for row in check.rows() if row.open}


X = Tensor(np.ones((2, 3), np.float32))
OFFENCES = {
    "undocumented": (lambda: ops.digamma(X), "ops.digamma"),
    "type": (lambda: ops.MatMul()(X.astype(ms.float64), ops.ones((3, 2), ms.float64)), "MatMul"),
    "mixed": (lambda: ops.matmul(X.astype(ms.bfloat16), ops.ones((3, 2))), "ops.matmul"),
    "axes": (lambda: ops.reshape(X, (1,) * 8 + (6,)) * 2, "Tensor.__mul__"),
    "limit": (lambda: ops.transpose(X, (-1, 0)), "ops.transpose"),
}


@pytest.mark.parametrize("offence", OFFENCES)
def test_what_ascend_lacks_shows(offence):
    work, name = OFFENCES[offence]
    assert name in findings(work)


def test_what_the_wheel_says():
    assert "Ascend" in documented("ops.gather") and "Ascend" in documented("Tensor.__rsub__")
    assert "Ascend" not in documented("ops.digamma")
    assert registered("SoftmaxBackward") == "aclnn" and registered("BiasAddGrad") == "adapter"
    assert registered("NoSuchPrimitive") == ""
    # what the explanations rest on
    assert registered("Contiguous") == registered("Copy") == "aclnn"
    assert registered("StridedSlice") == registered("StridedSliceGrad") == "adapter"
