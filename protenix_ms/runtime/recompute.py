# SPDX-License-Identifier: Apache-2.0
"""Recomputation: training forgets activations of chosen modules and computes them again.

The policy names kinds of modules. Gradients are the same with and without; each kind saves the
memory of its activations.
"""

from __future__ import annotations

from collections.abc import Callable

import mindspore as ms
from mindspore import Parameter, Tensor, nn

from protenix_ms.runtime.gradient import recording
from protenix_ms.runtime.policy import policy

KIND_OF = {
    "ConfidenceHead": "pair_embedding",
    "DiffusionConditioning": "pair_embedding",
    "DiffusionTransformerBlock": "diffusion_block",
    "MSABlock": "msa_block",
    "OuterProductMean": "outer_product_mean",
    "PairformerBlock": "pairformer_block",
    "Protenix": "pair_embedding",
    "Transition": "transition",
    "TriangleAttention": "triangle_attention",
    "TriangleMultiplication": "triangle_multiplication",
}
"""Kind of each class whose work the policy can recompute; several classes may share a kind."""

Owner = nn.Cell | tuple[nn.Cell, ...] | None
"""Of a piece of work; see `recomputed_piece`."""

KINDS = tuple(sorted(set(KIND_OF.values())))


def _forgets(owner: nn.Cell | None) -> bool:
    """Tell whether the policy wants the work of `owner` recomputed."""
    return KIND_OF.get(type(owner).__name__) in policy().recompute and owner.training


def recomputed(module: nn.Cell, *inputs: object) -> object:
    """Call ``module(*inputs)``, and recompute it for the gradient if the policy says so.

    Everything that the module reads must be among `inputs` or its parameters; it must not draw
    random numbers.
    """
    return ms.recompute(module, *inputs) if _forgets(module) else module(*inputs)


class _Piece(nn.Cell):
    """Wraps a function as a cell with the parameters of other cells."""

    def __init__(self, function: Callable[..., Tensor], parameters: list[Parameter]) -> None:
        super().__init__(auto_prefix=False)
        # As a list they would become this cell's own, under new names.
        self._function, self._parameters_of = function, lambda: parameters

    def construct(self, *inputs: Tensor) -> Tensor:
        return self._function(*inputs)

    def trainable_params(self, recurse: bool = True) -> list[Parameter]:
        return self._parameters_of()


def recomputed_piece(owner: Owner, function: Callable[..., Tensor], *inputs: object) -> Tensor:
    """Call ``function(*inputs)``, a part of the work of `owner`, recomputed as by `recomputed`.

    Args:
        owner: the cell whose class says the kind, and whose parameters the function may read.
            Of a large cell, a tuple of it and of the layers that the function reads: all other
            parameters would get a gradient full of zeros. None: never recomputed.
        inputs: every tensor that the function reads beside parameters; anything else passes as
            it is.
    """
    owner, *layers = owner if isinstance(owner, tuple) else (owner, owner)
    if not (_forgets(owner) and recording()):
        return function(*inputs)

    def of_tensors(*tensors: Tensor) -> Tensor:
        rest = iter(tensors)
        return function(*(next(rest) if isinstance(x, Tensor) else x for x in inputs))

    parameters = [p for cell in layers for p in cell.trainable_params()]
    return ms.recompute(_Piece(of_tensors, parameters),
                        *(x for x in inputs if isinstance(x, Tensor)))
