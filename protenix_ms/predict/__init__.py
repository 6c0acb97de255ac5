# SPDX-License-Identifier: Apache-2.0
"""Prediction: from jobs to structures and confidences on disk.

`protenix_ms.predict(model, job)` is a call to this package: Python puts a subpackage into its
parent under its own name, so that the function of the same name could not stand beside it.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


class _Callable(ModuleType):
    """Makes the package callable as `predictor.predict`."""

    def __call__(self, *arguments: object, **named: object) -> object:
        return importlib.import_module(f"{__name__}.predictor").predict(*arguments, **named)


sys.modules[__name__].__class__ = _Callable
