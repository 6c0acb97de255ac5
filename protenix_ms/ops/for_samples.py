# SPDX-License-Identifier: Apache-2.0
"""Old name of parts of `ops.functional`; goes once branch h/model is merged."""

from protenix_ms.ops.functional import for_samples

__all__ = ["for_samples"]
