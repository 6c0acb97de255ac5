# SPDX-License-Identifier: Apache-2.0
"""Relative position encoding."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from mindspore import Tensor, nn

from protenix_ms.model.layers import Linear
from protenix_ms.runtime.rows import rowwise
from protenix_ms.typing import Array, Float, Int


def _one_hot(x: Int[Array, "r n"], classes: int) -> Float[Array, "r n c"]:
    return (x[..., None] == np.arange(classes)).astype(np.float32)


class RelativePositions:
    """Relative residue, token and chain positions of a job, as one-hot classes (numpy).

    Features are computed by rows, so that their 139 channels never exist for all pairs.

    Args:
        features: `asym_id`, `residue_index`, `entity_id`, `token_index`, `sym_id`, each ``[n]``.
        r_max, s_max: clipping of residue and token offsets, and of copy numbers.
    """

    def __init__(self, features: Mapping[str, Array], r_max: int = 32, s_max: int = 2) -> None:
        names = ("asym_id", "residue_index", "entity_id", "token_index", "sym_id")
        self._ids = {name: np.asarray(features[name]) for name in names}
        self.r_max, self.s_max = r_max, s_max

    @property
    def n_tokens(self) -> int:
        return len(self._ids["asym_id"])

    @property
    def channels(self) -> int:
        return 4 * self.r_max + 2 * self.s_max + 7

    def _difference(self, name: str, rows: slice) -> Int[Array, "r n"]:
        x = self._ids[name]
        return x[rows, None] - x[None, :]

    def rows(self, part: slice) -> Float[Array, "r n k"]:
        """Compute features of some rows: residue offset, token offset, same entity, copy offset.

        The last class of each offset means "not comparable": other chain, other residue, other
        entity. The copy offset counts within an entity, as Protenix corrects the supplement,
        which says chain.
        """
        r, s = self.r_max, self.s_max
        chain, residue, entity = (
            self._difference(name, part) == 0
            for name in ("asym_id", "residue_index", "entity_id")
        )

        def classes(name: str, limit: int, comparable: Array) -> Float[Array, "r n c"]:
            offset = np.clip(self._difference(name, part) + limit, 0, 2 * limit)
            return _one_hot(np.where(comparable, offset, 2 * limit + 1), 2 * limit + 2)

        parts = [
            classes("residue_index", r, chain),
            classes("token_index", r, chain & residue),
            entity[..., None].astype(np.float32),
            classes("sym_id", s, entity),
        ]
        return np.concatenate(parts, -1)


class RelativePositionEncoding(nn.Cell):
    """Projects `RelativePositions` features, without offset (AF3 Algorithm 3)."""

    def __init__(self, c_z: int, r_max: int = 32, s_max: int = 2) -> None:
        super().__init__()
        self.linear_no_bias = Linear(4 * r_max + 2 * s_max + 7, c_z)

    def construct(
        self, positions: RelativePositions, rows: slice | None = None,
    ) -> Float[Tensor, "r n c_z"]:
        """Encode all pairs of tokens, or some rows of them."""
        if rows is None:
            n = positions.n_tokens
            return rowwise(None, lambda rows: self(positions, rows), range(n),
                           cost=n * positions.channels)
        return self.linear_no_bias(Tensor.from_numpy(positions.rows(rows)))
