# SPDX-License-Identifier: Apache-2.0
"""Windows of the atom transformer along the sequence: 32 queries see 128 atoms around them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from mindspore import Tensor, ops

from protenix_ms.ops.evoformer_attention import evoformer_attention, windows_in_place
from protenix_ms.ops.unfold import windows as sliding_windows
from protenix_ms.typing import Array, Float, Shaped

QUERIES, KEYS = 32, 128
# Upstream has -1e10 here and -1e9 in triangles: both are exact zeros after a softmax. Never -inf,
# which corrupts MindSpore's softmax on CPU.
MASKED = -1e9
LEFT = (KEYS - QUERIES) // 2  # keys before a window's first query


def query_windows(x: Shaped[Array, "a *c"]) -> Shaped[Array, "w q *c"]:
    """Group atoms as queries of their windows (numpy); zeros pad the last window."""
    n_windows = -(-len(x) // QUERIES)
    padded = np.zeros((n_windows * QUERIES, *x.shape[1:]), x.dtype)
    padded[: len(x)] = x
    return padded.reshape(n_windows, QUERIES, *x.shape[1:])


def key_windows(x: Shaped[Array, "a *c"]) -> Shaped[Array, "w k *c"]:
    """Group atoms as keys of every window (numpy); zeros precede the first and follow the last."""
    n_windows = -(-len(x) // QUERIES)
    padded = np.zeros(((n_windows - 1) * QUERIES + KEYS, *x.shape[1:]), x.dtype)
    padded[LEFT : LEFT + len(x)] = x
    sliding = np.lib.stride_tricks.sliding_window_view(padded, KEYS, axis=0)[::QUERIES]
    return np.ascontiguousarray(np.moveaxis(sliding, -1, 1))


@dataclass(frozen=True)
class AtomWindows:
    """The windows of `n_atoms` atoms, for tensors ``[b, a, ...]``.

    `key_bias`, part of every attention bias, masks padded keys. Padded queries attend like any
    other, and `merge` cuts them off (upstream masks their whole rows, with the same result).

    Attributes:
        n_atoms: number of atoms.
        key_bias: ``[w, 1, 1, k]``, 0 where a window's key is an atom, else -1e9.
    """

    n_atoms: int
    key_bias: Float[Tensor, "w 1 1 k"] = field(compare=False)

    @classmethod
    def over(cls, n_atoms: int) -> AtomWindows:
        """Make the windows of `n_atoms` atoms."""
        bias = np.where(key_windows(np.ones(n_atoms, bool)), 0.0, MASKED).astype(np.float32)
        return cls(n_atoms, Tensor.from_numpy(bias[:, None, None]))

    @property
    def n_windows(self) -> int:
        return self.key_bias.shape[0]

    def queries(self, x: Shaped[Tensor, "b a ..."]) -> Shaped[Tensor, "b w q ..."]:
        """Group each atom once, as a query of its window."""
        after = self.n_windows * QUERIES - self.n_atoms
        return ops.reshape(_pad(x, 0, after), (x.shape[0], -1, QUERIES, *x.shape[2:]))

    def keys(self, x: Shaped[Tensor, "b a ..."]) -> Shaped[Tensor, "b w k ..."]:
        """Take the 128 atoms around each window's queries."""
        after = (self.n_windows - 1) * QUERIES + KEYS - LEFT - self.n_atoms
        return sliding_windows(_pad(x, LEFT, after), 1, KEYS, QUERIES)

    def attend(
        self, q: Float[Tensor, "b a h d"], k: Float[Tensor, "b a h d"], v: Float[Tensor, "b a h d"],
        bias: Float[Tensor, "w h q k"], gate: Float[Tensor, "b a h d"],
    ) -> Float[Tensor, "b a h d"]:
        """Compute gated attention of every atom within its window; `bias` holds `key_bias`.

        This is AF3 Algorithm 24 with the mask of Algorithm 7.
        """
        in_place = windows_in_place(q.dtype, q.shape[-1])
        if in_place is not None:
            return in_place(q, k, v, gate, bias)
        q, gate, k, v = self.queries(q), self.queries(gate), self.keys(k), self.keys(v)
        return self.merge(evoformer_attention(q, k, v, ops.expand_dims(bias, 0), gate=gate))

    def merge(self, x: Shaped[Tensor, "b w q ..."]) -> Shaped[Tensor, "b a ..."]:
        """Put the queries of all windows back into atoms, without the padding."""
        flat = ops.reshape(x, (x.shape[0], -1, *x.shape[3:]))
        return flat[:, : self.n_atoms]


def _pad(x: Tensor, before: int, after: int) -> Tensor:
    """Pad axis 1 with zeros. By concatenation: `ops.pad` is a hundred times slower on CPU."""
    parts = [x]
    if before:
        parts.insert(0, ops.zeros((x.shape[0], before, *x.shape[2:]), x.dtype))
    if after:
        parts.append(ops.zeros((x.shape[0], after, *x.shape[2:]), x.dtype))
    return ops.concat(parts, 1) if len(parts) > 1 else x
