# SPDX-License-Identifier: Apache-2.0
"""Make sliding windows along one axis. MindSpore's own `unfold` is im2col, for images only."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from mindspore import Tensor, ops

from protenix_ms.typing import Shaped


@lru_cache(maxsize=32)
def _positions(length: int, size: int, step: int) -> Tensor:
    starts = np.arange(0, length - size + 1, step, dtype=np.int32)
    return Tensor.from_numpy((starts[:, None] + np.arange(size, dtype=np.int32)).reshape(-1))


def windows(x: Shaped[Tensor, "..."], axis: int, size: int, step: int) -> Shaped[Tensor, "..."]:
    """Take windows of `size` along `axis`, every `step`; their own axis follows `axis`.

    ``[..., n, c] -> [..., w, size, c]`` with ``w = (n - size) // step + 1``; a rest that does not
    fill a window is left out. One gather of rows, hence differentiable: the gradient sums over
    overlaps. `unfold` moves the new axis to the end, which costs a physical permute.

    Raises:
        ValueError: an axis that does not exist, a size or step that is impossible.
    """
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis {axis} of a tensor of rank {x.ndim}")
    axis %= x.ndim
    length = x.shape[axis]
    if not 0 < size <= length or step < 1:
        raise ValueError(f"windows of {size} every {step} along an axis of {length}")
    rows = ops.gather(x, _positions(length, size, step), axis)
    return ops.reshape(rows, (*x.shape[:axis], -1, size, *x.shape[axis + 1 :]))


def unfold(x: Shaped[Tensor, "..."], axis: int, size: int, step: int) -> Shaped[Tensor, "..."]:
    """Take windows as `torch.Tensor.unfold` does: `size` long, every `step`, as a new last axis.

    Any rank, any axis, differentiable; a copy, where torch returns a view.

    Raises:
        ValueError: see `windows`.
    """
    y = windows(x, axis, size, step)
    at = axis % x.ndim + 1
    order = [i for i in range(y.ndim) if i != at] + [at]
    return ops.transpose(y, tuple(order)) if at != y.ndim - 1 else y
