# SPDX-License-Identifier: Apache-2.0
"""Which parts compute in bf16, and which stay fp32, when the policy says bf16 (Ascend).

Upstream runs under autocast: matrix products in bf16, softmax, norms and logarithms in fp32, and
some modules as fp32 islands. Here one table over module names says which. On CPU everything is
fp32: the back end has no bf16 products.

Not verified on hardware.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

Dtype = Literal["fp32", "bf16"]

LONG, VERY_LONG = 2560, 3840  # tokens at which upstream gives up islands, for memory


class Island(NamedTuple):
    """Modules that stay fp32.

    Attributes:
        prefix: of the module's name.
        leaves: names of layers below the prefix, empty for all.
        up_to: largest number of tokens for which it holds, None for any.
        not_for: words in the names of models that have no such island.
        when: "predicting", "training" or "always".
    """

    prefix: str
    leaves: tuple[str, ...] = ()
    up_to: int | None = None
    not_for: tuple[str, ...] = ()
    when: Literal["predicting", "training", "always"] = "always"

    def holds(self, name: str, n_tokens: int, model_name: str, training: bool) -> bool:
        """Tell whether `name` lies in this island for a job and model."""
        if self.when == ("predicting" if training else "training"):
            return False
        if self.up_to is not None and n_tokens > self.up_to:
            return False
        if any(word in model_name for word in self.not_for):
            return False
        below = name == self.prefix or name.startswith(f"{self.prefix}.")
        return below and (not self.leaves or name.rpartition(".")[2] in self.leaves)


ISLANDS = (
    # coordinates and distances of atoms
    Island("input_embedder.atom_attention_encoder", ("linear_no_bias_ref_pos", "linear_no_bias_d")),
    Island("diffusion_module", up_to=VERY_LONG),
    Island("confidence_head", up_to=LONG, not_for=("v2",), when="predicting"),
    Island("distogram_head", when="training"),
    # what remains fp32 inside them when they are not islands as a whole
    Island("diffusion_module.diffusion_conditioning",
           ("linear_no_bias_z", "linear_no_bias_s", "linear_no_bias_n")),
    Island("diffusion_module", ("linear_no_bias_s",)),
    Island("diffusion_module.atom_attention_encoder",
           ("linear_no_bias_ref_pos", "linear_no_bias_d", "linear_no_bias_s", "linear_no_bias_z",
            "linear_no_bias_r")),
    Island("diffusion_module.atom_attention_decoder", ("linear_no_bias_out",)),
    Island("confidence_head", ("linear_no_bias_pae", "linear_no_bias_pde", "plddt_weight",
                               "resolved_weight", "linear_no_bias_d", "linear_no_bias_d_wo_onehot",
                               "pae_ln", "pde_ln", "plddt_ln", "resolved_ln")),
)


def dtype_of(name: str, n_tokens: int, model_name: str, training: bool = False) -> Dtype:
    """Return the number format of the products of a layer under bf16.

    Args:
        name: the layer, as in the state dict without ``.weight``.
        n_tokens: size of the job.
        model_name: variant.
        training: whether gradients are wanted; the islands differ.
    """
    island = any(i.holds(name, n_tokens, model_name, training) for i in ISLANDS)
    return "fp32" if island else "bf16"


def dtypes(names: Iterable[str], n_tokens: int, model_name: str) -> dict[str, Dtype]:
    """Return `dtype_of` for many layers, as a table."""
    return {name: dtype_of(name, n_tokens, model_name) for name in names}
