# SPDX-License-Identifier: Apache-2.0
"""Inputs of the atom transformers: reference conformers in windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from mindspore import Tensor, ops

from protenix_ms.model.atom_windows import AtomWindows, key_windows, query_windows
from protenix_ms.ops.functional import widened
from protenix_ms.typing import Array, Float, Int, Shaped


@dataclass(frozen=True)
class AtomFeatures:
    """Atom inputs of Algorithm 5, computed once per job for every atom transformer.

    Attributes:
        ref_pos: ``[a, 3]`` angstrom, reference conformers in random orientations.
        charge: ``[a, 1]`` arcsinh of the formal charge.
        mask: ``[a, 1]`` 1 where the conformer has the atom.
        identity: ``[a, 385]`` mask, element (128) and atom name (4 x 64) one-hot.
        offset: ``[w, q, k, 3]`` angstrom, query minus key position, zero between conformers.
        inverse_distance: ``[w, q, k, 1]`` 1 / (1 + |offset|^2), zero between conformers.
        same_space: ``[w, q, k, 1]`` 1 within one conformer.
        windows: how atoms are grouped into windows.
        token: ``[a]`` token of each atom.
        token_pair: ``[w q k]`` index of each atom pair's tokens in the flattened pair matrix.
        atom_share: ``[n, 1]`` one over the number of atoms of each token.
    """

    ref_pos: Float[Tensor, "a 3"]
    charge: Float[Tensor, "a 1"]
    mask: Float[Tensor, "a 1"]
    identity: Float[Tensor, "a f"]
    offset: Float[Tensor, "w q k 3"]
    inverse_distance: Float[Tensor, "w q k 1"]
    same_space: Float[Tensor, "w q k 1"]
    windows: AtomWindows
    token: Int[Tensor, "a"]
    token_pair: Int[Tensor, "wqk"]
    atom_share: Float[Tensor, "n 1"]

    @property
    def n_atoms(self) -> int:
        return self.token.shape[0]

    @property
    def n_tokens(self) -> int:
        return self.atom_share.shape[0]

    @classmethod
    def from_features(cls, features: Mapping[str, Shaped[Array, "..."]]) -> AtomFeatures:
        """Read the model's input arrays."""
        pos = np.asarray(features["ref_pos"], np.float32)
        column = {
            k: np.asarray(features[k], np.float32).reshape(len(pos), -1)
            for k in ("ref_mask", "ref_charge", "ref_element", "ref_atom_name_chars")
        }
        token = np.asarray(features["atom_to_token_idx"], np.int32)
        n_tokens = len(features["restype"])
        identity = [column[k] for k in ("ref_mask", "ref_element", "ref_atom_name_chars")]
        # Padding is token 0, which the key mask hides.
        pair = query_windows(token)[:, :, None] * n_tokens + key_windows(token)[:, None]
        count = np.bincount(token, minlength=n_tokens)
        arrays = {
            "ref_pos": pos,
            "charge": np.arcsinh(column["ref_charge"]),
            "mask": column["ref_mask"],
            "identity": np.concatenate(identity, -1),
            **_pair_geometry(pos, np.asarray(features["ref_space_uid"])),
            "token": token,
            "token_pair": pair.reshape(-1),
            "atom_share": (1.0 / np.maximum(count, 1)).astype(np.float32)[:, None],
        }
        tensors = {k: Tensor.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}
        return cls(windows=AtomWindows.over(len(pos)), **tensors)

    def to_atoms(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b a c"]:
        """Give each atom the row of its token."""
        return ops.gather(x, self.token, 1)

    def to_tokens(self, x: Float[Tensor, "b a c"]) -> Float[Tensor, "b n c"]:
        """Average the atoms of each token; a token without atoms is zero."""
        b, _, c = x.shape
        n = self.n_tokens
        segment = ops.concat([self.token + n * i for i in range(b)])
        total = ops.unsorted_segment_sum(ops.reshape(widened(x), (-1, c)), segment, b * n)
        return ops.reshape(total, (b, n, c)) * self.atom_share


def _pair_geometry(
    pos: Float[Array, "a 3"], space: Int[Array, "a"],
) -> dict[str, Float[Array, "w q k _"]]:
    """Compute the geometry of atom pairs (lines 2-6 of Algorithm 5).

    As upstream, padded atoms have space 0 and position 0, so the first residue counts them as its
    own. They are masked as keys and cut off as queries; only `offset` drops them.
    """
    same = query_windows(space)[:, :, None] == key_windows(space)[:, None]
    real = np.ones(len(pos), bool)
    real = query_windows(real)[:, :, None] & key_windows(real)[:, None]
    offset = query_windows(pos)[:, :, None] - key_windows(pos)[:, None]
    inverse = 1 / (1 + (offset**2).sum(-1, keepdims=True))
    return {
        "offset": offset * (same & real)[..., None],
        "inverse_distance": inverse * same[..., None],
        "same_space": same[..., None].astype(np.float32),
    }
