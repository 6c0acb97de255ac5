# SPDX-License-Identifier: Apache-2.0
"""Memory of a training step beside measured peaks, and the refusal before it starts."""

import pytest

from protenix_ms.config import get_config
from protenix_ms.config.training import training_config
from protenix_ms.errors import ResourceError
from protenix_ms.train import budget

BLOCKS, NOTHING, ALL = "blocks", "nothing", "all"
# scripts/bench/recompute.py, tiny v0.5.0, 128 alignment rows: tokens, samples, what is computed
# again, and GB that a step added to weights and moments
MEASURED = [(48, 4, BLOCKS, 0.77), (96, 1, BLOCKS, 1.40), (96, 16, BLOCKS, 1.51),
            (160, 4, BLOCKS, 3.10), (256, 4, BLOCKS, 6.62), (48, 4, NOTHING, 2.11),
            (96, 4, NOTHING, 7.00), (128, 4, NOTHING, 12.47), (128, 4, ALL, 1.41),
            (256, 4, ALL, 3.07), (740, 4, ALL, 14.37)]


def config(tokens, samples, recomputed=BLOCKS, model="protenix_tiny_default_v0.5.0"):
    tree = get_config(model)
    with tree.unlocked():
        tree.training = training_config()
    tree.training.update({"train_crop_size": tokens, "diffusion_batch_size": samples, "cycles": 1})
    if recomputed != BLOCKS:  # the default
        everything = dict.fromkeys(tree.training.recompute, recomputed == ALL)
        tree.training.recompute.update(everything)
    return tree


@pytest.mark.parametrize("row", MEASURED)
def test_memory_as_measured(row):
    tokens, samples, recomputed, added = row
    held = 0.6e9 + 5 * 4 * 109.5e6  # the bench holds no average and clips nothing
    found = budget.memory_bytes(config(tokens, samples, recomputed), 128) - held
    assert found / 1e9 == pytest.approx(added, rel=0.12)


def test_work_grows_as_it_should():
    work = [budget.multiply_adds(config(n, 4), 1) for n in (64, 128, 256)]
    assert 2 < work[1] / work[0] < work[2] / work[1] < 8
    assert budget.multiply_adds(config(64, 8), 1) > work[0]
    big = budget.multiply_adds(config(64, 4, model="protenix_base_default_v0.5.0"), 1)
    assert 2 < big / work[0] < 10


def test_what_cannot_fit_is_refused_with_the_remedy(monkeypatch):
    expected = budget.estimate(config(384, 48), 1)
    assert expected.seconds > 0
    monkeypatch.setattr(budget, "available_bytes", lambda: 1e9)
    with pytest.raises(ResourceError, match=r"17\.\d GB .*train_crop_size"):
        budget.require_memory(expected, "tiny")
    monkeypatch.setattr(budget, "available_bytes", lambda: None)
    budget.require_memory(expected, "tiny")
