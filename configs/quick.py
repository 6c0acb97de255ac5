# SPDX-License-Identifier: Apache-2.0
"""Take a first look in a fraction of the time: one recycle, five steps, one sample."""

from protenix_ms.config import get_config as variant


def get_config(model_name="protenix_tiny_default_v0.5.0"):
    """Return the variant with a short sampler."""
    config = variant(model_name)
    config.model.N_cycle = 1
    config.sample_diffusion.update(N_step=5, N_sample=1)
    return config
