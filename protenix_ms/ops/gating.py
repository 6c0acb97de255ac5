# SPDX-License-Identifier: Apache-2.0
"""Old name of parts of `ops.functional`; goes once branch h/model is merged."""

from protenix_ms.ops.functional import gated, swiglu

__all__ = ["gated", "swiglu"]
