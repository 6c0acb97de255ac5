# SPDX-License-Identifier: Apache-2.0
"""Protenix-MS: AlphaFold3-class structure prediction with MindSpore.

Importing this package loads neither MindSpore nor a model: `load`, `read_jobs`, `predict` and
`predict_many` are resolved on first use, so that everything below the model (inputs, chemistry,
features) stays usable, and fails early, without it.
"""

import importlib

__version__ = "0.1.0"

_LAZY = {
    "load": "protenix_ms.predict.predictor",
    "predict": "protenix_ms.predict.predictor",
    "predict_many": "protenix_ms.predict.engines.library",
    "read_jobs": "protenix_ms.io",
}

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'protenix_ms' has no attribute '{name}'")
