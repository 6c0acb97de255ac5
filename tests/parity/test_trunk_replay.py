# SPDX-License-Identifier: Apache-2.0
"""Recorded predictions of upstream, every stage: the product's own replay, and that it can fail."""

import numpy as np
import prediction_replay as replay
import pytest
from prediction_recording import Recording

from protenix_ms.errors import CheckpointError, InputError
from protenix_ms.model.weights import load_weights
from protenix_ms.runtime.policy import Policy, using

CASES = [
    "protenix-v2", "protenix_base_constraint_v0.5.0", "protenix_base_default_v1.0.0_mcdropout",
    "protenix_base_default_v1.0.0_realtemplate", "protenix_mini_esm_v0.5.0",
    "protenix_tiny_default_v0.5.0",
]


def recording(golden, case: str) -> Recording:
    path = golden / "tiny" / case
    if not path.is_dir():
        pytest.skip(f"no recording at {path}: set PROTENIX_MS_GOLDEN")
    return Recording.read(path)


def failures(rows):
    return [(r.stage, r.absolute, r.relative, r.remark) for r in rows if not r.ok]


@pytest.mark.parametrize("case", CASES)
def test_every_stage_of_a_prediction(golden, case):
    recorded = recording(golden, case)
    ours = replay.run(recorded, replay.build(recorded))
    rows = replay.compare(recorded, ours)
    assert len(rows) > 80 and not failures(rows)


POLICIES = {
    "chunks": Policy(chunk=3),
    "chunks-and-no-kernels": Policy(chunk=5, kernels=False, threads=1),
    "jit": Policy(jit=True),
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_how_it_runs_changes_nothing(golden, policy):
    recorded = recording(golden, "protenix_base_default_v1.0.0_msa")
    with using(policy):
        rows = replay.compare(recorded, replay.run(recorded, replay.build(recorded)))
    assert not failures(rows)


def test_checkpoint_gives_the_same_and_a_changed_weight_shows(golden):
    recorded = recording(golden, "protenix_base_default_v1.0.0")
    from ckpt_convert import load_arrays

    file = recorded.path / "protenix_base_default_v1.0.0.pt"
    arrays = dict(load_arrays(file, replay.expected_parameters(recorded)))
    by_rule = dict(recorded.weights())
    assert all(np.array_equal(arrays[name], by_rule[name]) for name in by_rule)
    name = "pairformer_stack.blocks.0.tri_mul_out.linear_z.weight"
    arrays[name] = arrays[name] * np.float32(1.01)
    ours = replay.run(recorded, replay.build(recorded, arrays.items()))
    bad = {r.stage for r in replay.compare(recorded, ours) if not r.ok}
    assert "act/pairformer_stack#0/1" in bad and "act/msa_module#0" not in bad


def test_a_stage_that_is_missing_is_not_ok(golden):
    recorded = recording(golden, "protenix_tiny_default_v0.5.0")
    only = {"act/z_init": recorded.outputs["act/z_init"]}
    rows = {r.stage: r for r in replay.compare(recorded, only)}
    assert rows["act/z_init"].ok
    assert not rows["pred/coordinate"].ok and rows["pred/coordinate"].remark == "not written by us"


def test_refusals(golden):
    recorded = recording(golden, "protenix_mini_esm_v0.5.0")
    model = replay.build(recorded)
    features = {k: v for k, v in recorded.features.items() if k != "esm_token_embedding"}
    with pytest.raises(InputError, match="esm_token_embedding"):
        model.predict(features, recorded.draws())
    with pytest.raises(CheckpointError, match="missing"):
        load_weights(model, [])
    with pytest.raises(CheckpointError, match="no parameter"):
        load_weights(model, [("nonsense", np.zeros(3, "f4"))])
    with pytest.raises(CheckpointError, match="shape"):
        load_weights(model, [("layernorm_s.weight", np.zeros(3, "f4"))])
