# SPDX-License-Identifier: Apache-2.0
"""Layers whose update is added to their input, and the one place that chooses how they run."""

from __future__ import annotations

from mindspore import Tensor, nn

from protenix_ms.ops.fused import fused, lean_form
from protenix_ms.runtime.gradient import recording
from protenix_ms.runtime.policy import policy
from protenix_ms.typing import Shaped

SMALL = 2**18  # numbers; above, layout and memory matter


class Residual(nn.Cell):
    """Adds an update to its first input.

    A subclass owns the parameters and writes its `update` as the paper does. That is the layer's
    specification: the fused kernels and the lean forms of `ops.fused` give the same numbers, and
    tests compare each with it, forward and backward.
    """

    def update(self, x: Shaped[Tensor, "..."], *others: object) -> Shaped[Tensor, "..."]:
        """Return what is added to `x`."""
        raise NotImplementedError

    def construct(
        self, x: Shaped[Tensor, "..."], *others: object, mask: Shaped[Tensor, "..."] | None = None,
    ) -> Shaped[Tensor, "..."]:
        """Return `x` plus its update; a kernel writes over a large `x`.

        A kernel runs if one serves this layer and input, in training if it has a gradient; else the
        lean form, if the layer has one and the input is large or training may recompute it; else
        the plain update.

        Args:
            others: the further inputs of `update`.
            mask: multiplies the update; dropout of training.
        """
        if mask is None and (y := fused(self, x, *others)) is not None:
            return y
        lean = lean_form(self)
        if lean is not None and (x.size >= SMALL or recording() or policy().chunk):
            return x + lean(self, x, *others, mask=mask)
        update = self.update(x, *others)
        return x + (update if mask is None else update * mask)
