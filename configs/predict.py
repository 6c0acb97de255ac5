# SPDX-License-Identifier: Apache-2.0
"""Predict with a released variant: `--config configs/predict.py:protenix_tiny_default_v0.5.0`."""

from protenix_ms.config import get_config as variant


def get_config(model_name="protenix_base_default_v1.0.0"):
    """Return the variant."""
    return variant(model_name)
