# SPDX-License-Identifier: Apache-2.0
"""Old name of parts of `ops.functional`; goes once branch h/model is merged."""

from protenix_ms.ops.functional import outer_sum

__all__ = ["outer_sum"]
