# SPDX-License-Identifier: Apache-2.0
"""Contacts from attention: a regression over the maps of all heads, none of which is kept."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops

from protenix_ms.esm.tokens import Packing
from protenix_ms.model.layers import Linear
from protenix_ms.ops.einsum import einsum
from protenix_ms.runtime.rows import slices
from protenix_ms.typing import Array, Float

_softmax = ops.Softmax(-1)


class ContactHead(nn.Cell):
    """Holds the regression: a weight for each layer and head, and an offset."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.regression = Linear(maps, 1, bias=True)


class ContactSums:
    """Adds up the attention maps of one sequence, head by head, in memory of its length squared.

    The average product correction of a symmetric map A with row sums r is ``A - r r^T / sum(r)``.
    So the weighted sum over heads needs the weighted sum of maps, and the row sums of each.

    Args:
        weight: of the regression, by layer and head.
    """

    def __init__(self, weight: Float[Array, "m"]) -> None:
        self._weight, self._total = weight, None
        self._rows: list[Float[Array, "_ l"]] = []
        self._done = 0

    def add(self, q: Float[Tensor, "t h d"], k: Float[Tensor, "t h d"]) -> None:
        """Add the heads of the next layer, without the begin and the end token."""
        tokens, heads, width = q.shape
        for some in slices(heads, 2 * tokens**2):
            q_part, k_part = q[:, some], k[:, some]
            maps = _softmax(einsum("qhd,khd->hqk", q_part, k_part) * width**-0.5)[:, 1:-1, 1:-1]
            count = maps.shape[0]
            weight = Tensor(self._weight[None, self._done : self._done + count])
            total = ops.matmul(weight, ops.reshape(maps, (count, -1)))
            self._total = total if self._total is None else self._total + total
            self._rows.append((maps.sum(1) + maps.sum(2)).asnumpy())
            self._done += count

    def probabilities(self, bias: float) -> Float[Array, "l l"]:
        """Return the probability of each pair of residues; float32."""
        rows = np.concatenate(self._rows).astype(np.float64)
        length = rows.shape[1]
        total = self._total.asnumpy().reshape(length, length).astype(np.float64)
        share = (self._weight / rows.sum(1))[:, None]
        logits = total + total.T - (rows * share).T @ rows + bias
        return (1 / (1 + np.exp(-logits))).astype(np.float32)


class ContactMaps:
    """Watches the layers of a packing and gives the contacts of its sequences."""

    def __init__(self, head: ContactHead, packing: Packing) -> None:
        weight = head.regression.weight.asnumpy()[0]
        self._bias = float(head.regression.bias.asnumpy()[0])
        self._parts = packing.parts
        self._sums = [ContactSums(weight) for _ in self._parts]

    def __call__(self, q: Float[Tensor, "t h d"], k: Float[Tensor, "t h d"]) -> None:
        for part, sums in zip(self._parts, self._sums):
            sums.add(q[part], k[part])

    def probabilities(self) -> list[Float[Array, "_ _"]]:
        """Return the contacts of every sequence."""
        return [sums.probabilities(self._bias) for sums in self._sums]
