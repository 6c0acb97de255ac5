# SPDX-License-Identifier: Apache-2.0
"""A multi-label head over pooled vectors of the encoder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from protenix_ms.model.layers import Linear
from protenix_ms.typing import Array, Float

LEAST_SPREAD = 1e-6  # of a channel over the training proteins, below which it says nothing


@dataclass(frozen=True)
class HeadSizes:
    """Channels of the encoder, of the hidden layer, and how many terms."""

    width: int
    hidden: int
    terms: int


class FunctionHead(nn.Cell):
    """Scores the terms of proteins: standardised vector, hidden layer with GELU, logits.

    Args:
        sizes: of the head.
    """

    def __init__(self, sizes: HeadSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.mean = Parameter(Tensor(np.zeros(sizes.width, np.float32)), requires_grad=False)
        self.spread = Parameter(Tensor(np.ones(sizes.width, np.float32)), requires_grad=False)
        self.hidden = Linear(sizes.width, sizes.hidden, bias=True)
        self.logits = Linear(sizes.hidden, sizes.terms, bias=True)

    def construct(
        self, pooled: Float[Tensor, "p c"], kept: Float[Tensor, "p h"] | None = None
    ) -> Float[Tensor, "p t"]:
        """Return logits.

        Args:
            pooled: mean vectors over residues.
            kept: multiplies the hidden layer; dropout of training.
        """
        x = ops.gelu(self.hidden((pooled - self.mean) / self.spread), approximate="none")
        return self.logits(x if kept is None else x * kept)

    def start_from(
        self, pooled: Float[Array, "p c"], frequency: Float[Array, "t"],
        rng: np.random.Generator,
    ) -> None:
        """Standardise by training proteins; the first answer is the frequency of every term.

        Args:
            frequency: share of the training proteins that have a term.
        """
        spread = pooled.std(0)
        share = np.clip(frequency, 0.5 / len(pooled), 1 - 0.5 / len(pooled))
        s = self.sizes
        values = {
            self.mean: pooled.mean(0), self.spread: np.where(spread > LEAST_SPREAD, spread, 1.0),
            self.hidden.weight: rng.normal(0, s.width**-0.5, (s.hidden, s.width)),
            self.hidden.bias: np.zeros(s.hidden),
            self.logits.weight: np.zeros((s.terms, s.hidden)),
            self.logits.bias: np.log(share / (1 - share)),
        }
        for parameter, value in values.items():
            parameter.set_data(Tensor(np.ascontiguousarray(value, np.float32)))
