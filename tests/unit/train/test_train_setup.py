# SPDX-License-Identifier: Apache-2.0
"""The work of a training step grows with its sizes, and is turned into seconds."""

from protenix_ms.config import get_config
from protenix_ms.config.training import training_config
from protenix_ms.train.setup import multiply_adds, seconds_per_update


def config(tokens, samples, model="protenix_tiny_default_v0.5.0"):
    tree = get_config(model)
    with tree.unlocked():
        tree.training = training_config()
    tree.training.update({"train_crop_size": tokens, "diffusion_batch_size": samples, "cycles": 1})
    return tree


def test_work_grows_as_it_should():
    work = [multiply_adds(config(n, 4), 1) for n in (64, 128, 256)]
    assert 2 < work[1] / work[0] < work[2] / work[1] < 8
    assert multiply_adds(config(64, 8), 1) > work[0] < multiply_adds(config(64, 4), 1000)
    big = multiply_adds(config(64, 4, model="protenix_base_default_v0.5.0"), 1)
    assert 2 < big / work[0] < 10
    assert seconds_per_update(config(64, 4), 1) > 0
