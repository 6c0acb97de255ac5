# SPDX-License-Identifier: Apache-2.0
"""Dropout of the trunk in training, with masks that rows share (AF3 SI section 2.6)."""

from __future__ import annotations

from mindspore import Tensor, ops

from protenix_ms.runtime.draws import Draws
from protenix_ms.typing import Float

PairMasks = tuple[Tensor, Tensor, Tensor, Tensor]
"""Multipliers of a block's four triangle updates, in their order."""


class RowDropout:
    """Draws masks at site ``dropout``; without a rate it draws none.

    Masks are made before the work that they change, so that work that is done again for the
    gradient sees the same ones.

    Args:
        draws: source of the masks.
        rate: probability of 0; the rest is scaled up.
    """

    def __init__(self, draws: Draws, rate: float) -> None:
        self._draws, self._rate = draws, rate

    def rows(self, n: int, c: int) -> Float[Tensor, "1 n c"] | None:
        """Draw one mask for all rows."""
        if not self._rate:
            return None
        return Tensor.from_numpy(self._draws.keep("dropout", self._rate, (1, n, c)))

    def pair(self, z: Float[Tensor, "n n c_z"]) -> PairMasks | None:
        """Draw the masks of one block.

        The ending node works on the transposed pair, so its mask is shared by columns.
        """
        if not self._rate:
            return None
        *first, last = (self.rows(*z.shape[1:]) for _ in range(4))
        return (*first, ops.transpose(last, (1, 0, 2)))
