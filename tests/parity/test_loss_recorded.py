# SPDX-License-Identifier: Apache-2.0
"""Every loss term of recorded training steps, from upstream's own predictions and labels."""

import json

import mindspore as ms
import numpy as np
import pytest
from prediction_replay import upstream_distances
from training_recording import recorded_training

from protenix_ms.loss.labels import Labels
from protenix_ms.loss.total import Confidence, Denoised, TrainingLoss

CASES = ["train", "train_dropout", "train_v2", "train_homodimer", "train_dna", "train_confidence"]


def npz(path, *prefixes: str) -> dict[str, np.ndarray]:
    with np.load(path) as z:
        return {k.removeprefix(p): z[k] for k in z.files for p in prefixes if k.startswith(p)}


@pytest.mark.parametrize("case", CASES)
def test_terms(golden, case):
    folder = golden / "tiny" / case
    if not folder.is_dir():
        pytest.skip(f"no recording at {folder}: set PROTENIX_MS_GOLDEN")
    config = recorded_training(json.loads((folder / "train_meta.json").read_text())["config"])
    features = npz(folder / "train_inputs.npz", "input_feature_dict/")
    pred = npz(folder / "train_outputs.npz", "pred/")
    labels = Labels.from_arrays(npz(folder / "train_outputs.npz", "label/"))
    t = {k: ms.Tensor(v) for k, v in pred.items()}
    confidence = Confidence(pred["coordinate_mini"], t["plddt"], t["pae"], t["pde"], t["resolved"])
    denoised = Denoised(t["coordinate"], pred["noise_level"], t["distogram"])
    total, terms = TrainingLoss(config, features, labels, upstream_distances)(confidence, denoised)
    theirs = npz(folder / "train_outputs.npz", "loss/")
    assert len(terms) == 8
    for name, value in terms.items():
        expected = pytest.approx(float(theirs[f"{name}_loss"]), rel=1e-5, abs=1e-9)
        assert float(value) == expected, name
    assert float(total) == pytest.approx(float(theirs["loss"]), rel=1e-5)
