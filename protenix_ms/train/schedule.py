# SPDX-License-Identifier: Apache-2.0
"""Learning rate by step (upstream `protenix/utils/lr_scheduler.py`)."""

from __future__ import annotations

import math

from ml_collections import ConfigDict

from protenix_ms.errors import ConfigError

SCHEDULES = ("af3", "cosine_annealing", "constant")


def learning_rate(step: int, config: ConfigDict) -> float:
    """Rate of an update, the first of which is step 0.

    "af3" (SI section 5.4) rises linearly from 0 at step 0 and then falls by `decay_factor` every
    `decay_every_n_steps`; without warm-up it starts at the full rate. "cosine_annealing" rises and
    falls to `min_lr_ratio` at `max_steps`.

    Args:
        config: the training tree, or its `finetune` part.

    Raises:
        ConfigError: no such schedule.
    """
    c = config
    if c.lr_scheduler == "constant":
        return c.lr
    if c.lr_scheduler == "af3":
        if step <= c.warmup_steps and c.warmup_steps:
            return step / c.warmup_steps * c.lr
        return c.lr * c.decay_factor ** (step // c.decay_every_n_steps)
    if c.lr_scheduler == "cosine_annealing":
        return _cosine(step, c)
    raise ConfigError(f"unknown schedule '{c.lr_scheduler}'", where="config.lr_scheduler",
                      fix=f"one of {', '.join(SCHEDULES)}")


def _cosine(step: int, config: ConfigDict) -> float:
    c, lowest = config, config.lr * config.min_lr_ratio
    if step <= c.warmup_steps:
        return (step + 1) / (c.warmup_steps + 1) * c.lr
    if step >= c.max_steps:
        return lowest
    share = (step - c.warmup_steps) / (c.max_steps - c.warmup_steps)
    return lowest + 0.5 * (1.0 + math.cos(math.pi * share)) * (c.lr - lowest)
