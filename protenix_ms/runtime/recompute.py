# SPDX-License-Identifier: Apache-2.0
"""Modules that forget their activations and compute them again for the gradient.

The policy names kinds of modules; a module says which it is in its attribute `recompute_kind`.
Gradients are the same with and without; each kind saves what its activations weigh.
"""

from __future__ import annotations

import mindspore as ms
from mindspore import nn

from protenix_ms.runtime.policy import policy

KINDS = ("triangle_attention", "triangle_multiplication", "transition", "pairformer_block",
         "msa_block", "diffusion_block", "smooth_lddt")


def recomputed(module: nn.Cell, *inputs: object) -> object:
    """``module(*inputs)``, which forgets what it computed if the policy says so.

    All that the module reads must be among `inputs` or its parameters; it must not draw random
    numbers.
    """
    if getattr(module, "recompute_kind", None) in policy().recompute and module.training:
        return ms.recompute(module, *inputs)
    return module(*inputs)
