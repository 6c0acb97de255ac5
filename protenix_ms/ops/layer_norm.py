# SPDX-License-Identifier: Apache-2.0
"""Old name of parts of `ops.functional`; goes once branch h/model is merged."""

from protenix_ms.ops.functional import EPSILON, layer_norm, layer_norm_channel_first

__all__ = ["EPSILON", "layer_norm", "layer_norm_channel_first"]
