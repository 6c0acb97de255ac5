# SPDX-License-Identifier: Apache-2.0
"""An encoder whose last layers learn together with a head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mindspore import Parameter, Tensor, ops

from protenix_ms.esm import Encoder
from protenix_ms.esm.tokens import Packing, tokenize
from protenix_ms.runtime.gradient import without_gradient
from protenix_ms.typing import Array, Float

ENCODER = "encoder."  # before the names of an encoder's own parameters


@dataclass
class TunedEncoder:
    """An encoder whose last layers may change.

    Attributes:
        encoder: with its weights in memory.
        count: how many layers.
    """

    encoder: Encoder
    count: int

    def parameters(self) -> dict[str, Parameter]:
        """List what changes, by name."""
        first = len(self.encoder.layers) - self.count
        return {name: p for name, p in self.encoder.parameters_and_names()
                if name.startswith("emb_layer_norm_after") or name.startswith("layers.")
                and int(name.split(".")[1]) >= first and not name.endswith("inv_freq")}

    def pool(self, sequences: Sequence[str]) -> Float[Tensor, "p c"]:
        """Return the mean vector of every sequence; the changing layers are differentiated."""
        packing = Packing(tuple(tokenize(sequence) for sequence in sequences))
        first = len(self.encoder.layers) - self.count
        with without_gradient():
            x = self.encoder.run_layers(self.encoder.embed(packing), packing, 0, first)
        x = self.encoder.finish(self.encoder.run_layers(x, packing, first))
        return ops.stack([ops.mean(x[part.start + 1 : part.stop - 1], 0)
                          for part in packing.parts])

    def pool_all(self, sequences: Sequence[str]) -> Float[Array, "p c"]:
        """Compute mean vectors, one sequence at a time."""
        with without_gradient():
            return np.concatenate([self.pool([s]).asnumpy() for s in sequences])
