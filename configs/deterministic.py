# SPDX-License-Identifier: Apache-2.0
"""Predict without Monte-Carlo dropout and noise between steps: only the start is random."""

from protenix_ms.config import get_config as variant


def get_config(model_name="protenix_base_default_v1.0.0"):
    """Return the variant with both kinds of noise off."""
    config = variant(model_name)
    config.mc_dropout_apply_rate = 0.0
    config.sample_diffusion.update(gamma0=0.0, step_scale_eta=1.0)
    return config
