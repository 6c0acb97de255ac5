# SPDX-License-Identifier: Apache-2.0
"""The ESM-2 encoder: `load_encoder`, then `encode` sequences."""

from protenix_ms.config.encoder import EncoderWeights
from protenix_ms.esm.encoder import Encoder, Encoding, encode
from protenix_ms.esm.weights import load_encoder, rule_weights

__all__ = ["Encoder", "EncoderWeights", "Encoding", "encode", "load_encoder", "rule_weights"]
