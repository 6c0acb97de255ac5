# SPDX-License-Identifier: Apache-2.0
"""No Monte-Carlo dropout and no noise between steps: only the start of the sampler is random."""

from protenix_ms.config import get_config as variant


def get_config(model_name="protenix_base_default_v1.0.0"):
    config = variant(model_name)
    config.mc_dropout_apply_rate = 0.0
    config.sample_diffusion.update(gamma0=0.0, step_scale_eta=1.0)
    return config
