# SPDX-License-Identifier: Apache-2.0
"""Lengths rounded up to buckets, so that nearby ones share a compiled graph.

Only the diffusion and the pairformer stacks know of it: they pad what comes in, tell their blocks
which tokens are real, and cut what goes out. A padded token is no key of any attention and adds
zero to every triangle product, so that the others do not see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from mindspore import Tensor, ops

from protenix_ms.runtime.policy import policy
from protenix_ms.typing import Float

LEAST, PARTS = 16, 16  # tokens; of the next power of two
MASKED = -1e9  # never -inf, which corrupts softmax on CPU


def bucket(n: int) -> int:
    """The next of 16, 32, ... 256, 288, ... 512, 576, ...: above 128 at most an eighth longer."""
    step = max(LEAST, (1 << (n - 1).bit_length()) // PARTS)
    return -(-n // step) * step


def key_bias(keep: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """What a token that is not kept adds to logits of which it is the key: -1e9."""
    return (keep - 1.0) * -MASKED


@dataclass(frozen=True)
class Padding:
    """`n` tokens as the first of `length`."""

    n: int
    length: int

    @classmethod
    def of(cls, n: int) -> Padding | None:
        """Padding of `n` tokens under the policy in force; None if it wants none."""
        return cls(n, bucket(n)) if policy().pads else None

    @cached_property
    def keep(self) -> Float[Tensor, "length"]:
        """1 for a token, 0 for padding."""
        return Tensor.from_numpy((np.arange(self.length) < self.n).astype(np.float32))

    def pad(self, x: Tensor | None, *axes: int) -> Tensor | None:
        """Zeros after the tokens on these axes."""
        for axis in axes if x is not None and self.length > self.n else ():
            shape = list(x.shape)
            shape[axis] = self.length - self.n
            # concatenation: `ops.pad` is a hundred times slower on CPU
            x = ops.concat([x, ops.zeros(tuple(shape), x.dtype)], axis)
        return x

    def cut(self, x: Tensor | None, *axes: int) -> Tensor | None:
        """The tokens alone, in memory of their own."""
        if x is None or self.length == self.n:
            return x
        parts = [slice(None)] * x.ndim
        for axis in axes:
            parts[axis] = slice(0, self.n)
        return x[tuple(parts)].contiguous()
