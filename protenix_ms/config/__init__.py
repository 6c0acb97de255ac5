# SPDX-License-Identifier: Apache-2.0
"""Hyper-parameters: one function per module, the nine released variants as small overrides."""

from protenix_ms.config.manifest import manifest, parameter_count
from protenix_ms.config.model import model_config
from protenix_ms.config.override import apply_overrides
from protenix_ms.config.variants import DEFAULT_MODEL, VARIANTS, get_config, require_variant

__all__ = [
    "DEFAULT_MODEL", "VARIANTS", "apply_overrides", "get_config", "manifest", "model_config",
    "parameter_count", "require_variant",
]
