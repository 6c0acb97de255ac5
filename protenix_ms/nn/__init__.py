# SPDX-License-Identifier: Apache-2.0
"""Primitives of the model; parameters are called `weight` and `bias`, as in upstream's files."""

from protenix_ms.nn.adaptive import AdaptiveLayerNorm
from protenix_ms.nn.attention import Attention, Windows
from protenix_ms.nn.dropout import PairMasks, RowDropout
from protenix_ms.nn.initialise import initialise
from protenix_ms.nn.linear import Linear, empty_parameter, set_precision
from protenix_ms.nn.norm import LayerNorm
from protenix_ms.nn.transition import Transition

__all__ = [
    "AdaptiveLayerNorm", "Attention", "LayerNorm", "Linear", "PairMasks", "RowDropout",
    "Transition", "Windows", "empty_parameter", "initialise", "set_precision",
]
