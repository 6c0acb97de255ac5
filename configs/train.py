# SPDX-License-Identifier: Apache-2.0
"""Train a variant in one of its stages: `--config configs/train.py:stage1`.

Another variant: `configs/train.py:stage1,protenix_tiny_default_v0.5.0`.
"""

from protenix_ms.config import get_config as variant
from protenix_ms.config.training import stage_config


def get_config(choice="stage1"):
    """Return the variant of `STAGE[,VARIANT]` with the settings of the stage under `training`."""
    stage, _, model_name = choice.partition(",")
    config = variant(model_name or "protenix_base_default_v1.0.0")
    with config.unlocked():
        config.training = stage_config(stage)
    return config
