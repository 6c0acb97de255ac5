# SPDX-License-Identifier: Apache-2.0
"""Training from scratch starts as upstream does: which weights are zero, and the spread of others.

The whole model at small width, so that one wrong `init` anywhere shows.
"""

import importlib
import json

import numpy as np
import pytest

from protenix_ms.config.variants import from_upstream
from protenix_ms.model.protenix import Protenix
from protenix_ms.model.weights import initialise

# PyTorch's default offsets (uniform) in the one encoder layer that upstream takes from it; ours
# start at zero. Upstream sets the weights beside them to zero.
ELSEWISE = ("transformer.layers.0.linear1.bias", "transformer.layers.0.linear2.bias")
TORCH_DRAWS = ("fourier_embedding.w", "fourier_embedding.b")
CASES = ["protenix_base_default_v1.0.0", "protenix_base_constraint_v0.5.0"]


@pytest.mark.parametrize("case", CASES)
def test_every_parameter(golden, case):
    meta = golden / "tiny" / case / "meta.json"
    if not meta.is_file():
        pytest.skip(f"no recording at {meta}: set PROTENIX_MS_GOLDEN")
    tree = json.loads(meta.read_text())["config"]
    ml_collections = pytest.importorskip("ml_collections")
    theirs = importlib.import_module("protenix.model.protenix").Protenix(
        ml_collections.ConfigDict(tree)
    )
    ours = Protenix(from_upstream(tree))
    initialise(ours, np.random.default_rng(0))
    mine = {n: p.asnumpy() for n, p in ours.parameters_and_names()}
    wrong = {}
    for name, value in theirs.state_dict().items():
        reference = value.numpy()
        if name.endswith(ELSEWISE + TORCH_DRAWS):
            continue
        if reference.std() < 1e-12 or name.endswith("_bins"):
            if not np.array_equal(mine[name], reference):
                wrong[name] = (float(mine[name].mean()), float(reference.mean()))
            continue
        noise = 6 / np.sqrt(2 * reference.size) * np.sqrt(2)  # six sigma of a ratio of deviations
        ratio = mine[name].std() / reference.std()
        if abs(np.log(ratio)) > noise:
            wrong[name] = ratio
    assert not wrong
