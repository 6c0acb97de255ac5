# SPDX-License-Identifier: Apache-2.0
"""Hyper-parameters: one function per module, the nine released variants as small overrides."""

from protenix_ms.config.model import model_config
from protenix_ms.config.override import apply_overrides, apply_words
from protenix_ms.config.variants import (
    DEFAULT_MODEL,
    DEMO_MODEL,
    VARIANTS,
    get_config,
    require_variant,
)

__all__ = [
    "DEFAULT_MODEL", "DEMO_MODEL", "VARIANTS", "apply_overrides", "apply_words", "get_config",
    "model_config", "require_variant",
]
