# SPDX-License-Identifier: Apache-2.0
"""Recorded training steps: every loss term, permuted label and gradient, and that it can fail."""

import pytest
import training_replay as replay
from training_recording import RecordedStep

from protenix_ms.errors import InputError
from protenix_ms.runtime.policy import Policy, using
from protenix_ms.runtime.recompute import KINDS
from protenix_ms.train.step import TrainingStep

CASES = ["train_fullgrads", "train_dropout", "train_v2", "train_homodimer", "train_dna",
         "train_confidence"]


def recording(golden, case: str) -> RecordedStep:
    path = golden / "tiny" / case
    if not path.is_dir():
        pytest.skip(f"no recording at {path}: set PROTENIX_MS_GOLDEN")
    return RecordedStep.read(path)


def failures(rows):
    return [(r.stage, r.absolute, r.relative, r.remark) for r in rows if not r.ok]


@pytest.mark.parametrize("case", CASES)
def test_every_loss_and_gradient(golden, case):
    recorded = recording(golden, case)
    rows = replay.compare(recorded, *replay.run(recorded, replay.build(recorded)))
    assert len(rows) > 550 and not failures(rows)
    assert {"label/coordinate", "loss/loss", "loss/pae", "loss/bond", "loss/smooth_lddt"} <= {
        r.stage for r in rows}


@pytest.mark.parametrize("rows", [None, 7])  # at once; 7 leaves a rest
def test_recomputing_changes_no_gradient(golden, rows):
    recorded = recording(golden, "train_dropout")
    plain, _ = replay.run(recorded, replay.build(recorded))
    with using(Policy(recompute=frozenset(KINDS), chunk=rows)):
        again, _ = replay.run(recorded, replay.build(recorded))
    assert again.loss == pytest.approx(plain.loss, rel=1e-6)
    largest = max(float(g.abs().max()) for g in plain.gradients.values())
    for name, gradient in plain.gradients.items():  # sums are made in another order
        scale = largest if replay.vanishes(name) else float(gradient.abs().max())
        difference = (gradient - again.gradients[name]).abs().max()
        assert float(difference) <= 1e-5 * scale, name


def test_own_distances_cost_what_the_confidence_head_sees(golden):
    """With exact distances only gradients of the confidence head leave the bar, below 1e-3."""
    recorded = recording(golden, "train_fullgrads")
    model = replay.build(recorded)
    step = TrainingStep(model, recorded.training)
    rows = replay.compare(recorded, *replay.run(recorded, model, step))
    bad = [r for r in rows if not r.ok and r.stage.startswith("gradient/")]
    assert all("confidence_head" in r.stage and r.relative < 1e-3 for r in bad)


def test_a_changed_weight_shows(golden):
    recorded = recording(golden, "train")
    model = replay.build(recorded)
    weight = model.diffusion_module.linear_no_bias_s.weight
    weight.set_data(weight * 1.01)
    bad = {r.stage for r in replay.compare(recorded, *replay.run(recorded, model)) if not r.ok}
    assert "loss/mse" in bad and "loss/distogram" not in bad
    assert "gradient/diffusion_module.linear_no_bias_s.weight" in bad


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="training step"):
        RecordedStep.read(tmp_path)
