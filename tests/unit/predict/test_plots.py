# SPDX-License-Identifier: Apache-2.0
"""Pictures: one per sample, chains in their places, the same bytes twice."""

import numpy as np
import pytest

from protenix_ms.predict.outputs import JobFolder
from protenix_ms.predict.plots import TokenAxis, draw_seed, token_plddt

pytest.importorskip("matplotlib")


def test_token_values_and_chains(predictor, jobs):
    result = predictor.predict(jobs[0], 101, lambda *_: None)
    axis = TokenAxis.from_atoms(result.atoms, np.array([0, 0, 1]))
    assert axis.names == ("A", "B") and axis.starts.tolist() == [0, 1] and axis.n == 2
    assert token_plddt(np.array([10.0, 20.0, 50.0]), np.array([0, 0, 1])).tolist() == [15.0, 50.0]


def test_a_picture_per_sample_the_same_twice(predictor, jobs, tmp_path):
    result = predictor.predict(jobs[0], 101, lambda *_: None)
    folders = [JobFolder(tmp_path / name, "first") for name in "ab"]
    for folder in folders:
        draw_seed(folder, result, "RANDOM WEIGHTS (seed 0)")
    first, second = (sorted(f.path.rglob("*.png")) for f in folders)
    assert [p.name for p in first] == ["first_confidence_sample_0.png",
                                       "first_confidence_sample_1.png"]
    assert first[0].read_bytes().startswith(b"\x89PNG") and first[0].stat().st_size > 10_000
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
