# SPDX-License-Identifier: Apache-2.0
"""What all samples share, repeated for each of them."""

from __future__ import annotations

from mindspore import Tensor, ops

from protenix_ms.typing import Float


def for_samples(x: Float[Tensor, "_ n c"], b: int) -> Float[Tensor, "b n c"]:
    """`x` once per sample, if its leading axis is 1; as it is, if it has one row per sample.

    MindSpore's broadcasting operations run on one thread with an index computed per element: 7 ms
    for a product of 5 x 256 x 768 numbers, where repeating first makes it 0.4 ms.
    """
    return ops.tile(x, (b, 1, 1)) if x.shape[0] == 1 < b else x
