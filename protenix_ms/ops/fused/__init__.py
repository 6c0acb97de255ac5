# SPDX-License-Identifier: Apache-2.0
"""Other forms of the model's residual layers, found by the class of a layer.

Every form takes the layer, which owns the parameters, and the inputs of its `update`, the
layer's specification, to which tests compare them. `model/residual.py` decides which one runs.
"""

from __future__ import annotations

from collections.abc import Callable

from mindspore import Tensor, nn

from protenix_ms.ops.fused import msa, transformer, triangle
from protenix_ms.ops.kernels import layer_pays

_KERNELS: dict[str, Callable[..., Tensor | None]] = {
    "AttentionPairBias": transformer.fused_attention,
    "ConditionedTransitionBlock": transformer.fused_conditioned_transition,
    "OuterProductMean": msa.fused_outer_product,
    "Transition": transformer.fused_transition,
    "TriangleAttention": triangle.fused_attention,
    "TriangleMultiplication": triangle.fused_multiplication,
}
_TRAINED = frozenset({"Transition"})  # classes whose kernels have gradients
_LEAN: dict[str, Callable[..., Tensor]] = {
    "MSAPairWeightedAveraging": msa.lean_averaging,
    "OuterProductMean": msa.lean_outer_product,
    "Transition": transformer.lean_transition,
    "TriangleAttention": triangle.lean_attention,
    "TriangleMultiplication": triangle.lean_multiplication,
}


def fused(layer: nn.Cell, x: Tensor, *others: object) -> Tensor | None:
    """Run the kernels of a layer: `x` plus its update, written over a large x.

    Returns:
        None if no kernel serves this layer and input, as in training where it has no gradient.
    """
    name = type(layer).__name__
    form = _KERNELS.get(name)
    return form(layer, x, *others) if form and layer_pays(x, name in _TRAINED) else None


def lean_form(layer: nn.Cell) -> Callable[..., Tensor] | None:
    """Return the form of a layer that saves memory, None without one.

    It takes ``(layer, *inputs, mask)`` and returns the update times the mask.
    """
    return _LEAN.get(type(layer).__name__)
