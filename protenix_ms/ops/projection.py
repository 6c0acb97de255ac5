# SPDX-License-Identifier: Apache-2.0
"""Projections with channels first: a transpose comes out of a matrix product at no cost.

The layout is the one that the next product wants, so that no array is permuted.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from protenix_ms.ops.einsum import einsum
from protenix_ms.ops.functional import EPSILON, bf16_einsum, layer_norm_channel_first
from protenix_ms.ops.kernels import layer_pays, operator, settings
from protenix_ms.typing import Float


def channel_first(
    linear: nn.Cell, x: Float[Tensor, "m c_in"], channels: slice | None = None,
) -> Float[Tensor, "c_out m"]:
    """Project to ``W x^T`` (no offset), or to some of its channels."""
    whole = channels is None or channels == slice(0, linear.weight.shape[0])
    product = bf16_einsum if linear.bf16 else einsum
    return product("oi,mi->om", linear.weight if whole else linear.weight[channels], x)


def from_channel_first(linear: nn.Cell, x: Float[Tensor, "c_in m"]) -> Float[Tensor, "m c_out"]:
    """Project channels that come first to ``x^T W^T`` (no offset)."""
    return (bf16_einsum if linear.bf16 else einsum)("im,oi->mo", x, linear.weight)


def norm_from_channel_first(norm: nn.Cell, x: Float[Tensor, "c m"]) -> Float[Tensor, "m c"]:
    """Normalise over the first axis; the result has channels last."""
    return norm.normalise(layer_norm_channel_first, x)


class PairProjection:
    """Projects one normalised pair to attention heads, with any number of weights.

    A kernel normalises while it projects, and no normalised pair is held in memory; otherwise
    the pair is normalised once.

    Args:
        z: pair, ``[n, n, c_z]`` or in windows ``[w, q, k, c_z]``.
        norm: its layer norm; a kernel needs one with scale and offset.
    """

    def __init__(self, z: Float[Tensor, "*r c_z"], norm: nn.Cell) -> None:
        self._fused = z.ndim == 3 and norm.bias is not None and layer_pays(z)
        self._norm, self._z = norm, z if self._fused else norm(z)

    def __call__(self, weight: Float[Tensor, "h c_z"], bf16: bool = False) -> Tensor:
        """Return ``W norm(z)``, ``[h, n, n]`` or ``[w, h, q, k]``."""
        if self._fused:
            norm = self._norm
            heads = operator("projection")(self._z, norm.weight, norm.bias, weight,
                                           settings(EPSILON))
            return ops.reshape(heads, (-1, *self._z.shape[:-1]))
        equation = "hc,qkc->hqk" if self._z.ndim == 3 else "hc,wqkc->whqk"
        return (bf16_einsum if bf16 else einsum)(equation, weight, self._z)
