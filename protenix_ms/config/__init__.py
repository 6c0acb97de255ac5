# SPDX-License-Identifier: Apache-2.0
"""Hyper-parameters: one function per module, the nine released variants as small overrides."""

from protenix_ms.config.manifest import manifest, parameter_count
from protenix_ms.config.model import model_config
from protenix_ms.config.override import apply_overrides
from protenix_ms.config.variants import VARIANTS, get_config

__all__ = [
    "VARIANTS", "apply_overrides", "get_config", "manifest", "model_config", "parameter_count",
]
