# SPDX-License-Identifier: Apache-2.0
"""Modules that forget their activations and compute them again for the gradient.

The policy names kinds of modules; a module says which it is in its attribute `recompute_kind`.
Gradients are the same with and without; each kind saves what its activations weigh.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mindspore as ms
from mindspore import Parameter, Tensor, nn

from protenix_ms.runtime.gradient import recording
from protenix_ms.runtime.policy import policy

KINDS = ("triangle_attention", "triangle_multiplication", "transition", "outer_product_mean",
         "pair_embedding", "pairformer_block", "msa_block", "diffusion_block")


def recomputed(module: nn.Cell, *inputs: object) -> object:
    """``module(*inputs)``, which forgets what it computed if the policy says so.

    All that the module reads must be among `inputs` or its parameters; it must not draw random
    numbers.
    """
    if getattr(module, "recompute_kind", None) in policy().recompute and module.training:
        return ms.recompute(module, *inputs)
    return module(*inputs)


class _Piece(nn.Cell):
    """A function as a module with the parameters of others."""

    def __init__(self, function: Callable[..., Tensor], parameters: list[Parameter]) -> None:
        super().__init__(auto_prefix=False)
        # As a list they would become this cell's own, under new names.
        self._function, self._parameters_of = function, lambda: parameters

    def construct(self, *inputs: Tensor) -> Tensor:
        return self._function(*inputs)

    def trainable_params(self, recurse: bool = True) -> list[Parameter]:
        return self._parameters_of()


def recomputed_piece(
    kind: str, modules: Sequence[nn.Cell], function: Callable[..., Tensor], *inputs: Tensor
) -> Tensor:
    """``function(*inputs)``, a part of a larger module, recomputed as by `recomputed`.

    Args:
        kind: of `KINDS`.
        modules: all whose parameters the function reads, in one state of training.
    """
    if kind in policy().recompute and modules[0].training and recording():
        parameters = [p for module in modules for p in module.trainable_params()]
        return ms.recompute(_Piece(function, parameters), *inputs)
    return function(*inputs)
