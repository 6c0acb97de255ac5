# SPDX-License-Identifier: Apache-2.0
"""MindSpore operators of the CPU in place of what only an Ascend device has. Not hardware."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import emulated_device as device
import mindspore
from mindspore import Tensor, ops

from protenix_ms.ops.evoformer_attention import ascend, dispatch


@contextmanager
def our_ops() -> Iterator[None]:
    """Let our ops run the kernels' sources on the emulated machine, for the block."""
    library = device.default_library()
    backward = ops.Custom(
        f"{library}:evo_ms_backward", ascend.backward_shapes, ascend.backward_types, "aot"
    )
    forward = ops.Custom(
        f"{library}:evo_ms_forward", ascend.forward_shapes, ascend.forward_types, "aot",
        ascend.bprop,
    )

    def forward_op() -> ops.Custom:
        return forward

    def backward_op() -> ops.Custom:
        return backward

    with patch.object(ascend, "forward_op", forward_op), \
            patch.object(ascend, "backward_op", backward_op):
        yield


def documented_flash_attention(
    query: Tensor, key: Tensor, value: Tensor, head_num: int, real_shift: Tensor | None = None,
    scalar_value: float = 1.0, input_layout: str = "BSH",
) -> Tensor:
    """Compute ``softmax(scale (q k^T + shift)) v``, without a gradient for the shift, and the
    limits."""
    assert input_layout == "BSND" and head_num == query.shape[2]
    assert query.shape[3] % 16 == 0 and query.shape[0] <= 2048
    wide = (x.astype(mindspore.float32) for x in (query, key, value))
    q, k, v = (ops.transpose(x, (0, 2, 1, 3)) for x in wide)
    logits = ops.BatchMatMul(transpose_b=True)(q, k)
    if real_shift is not None:
        assert real_shift.shape[0] in (1, query.shape[0])
        logits = logits + ops.stop_gradient(real_shift).astype(mindspore.float32)
    out = ops.BatchMatMul()(ops.softmax(logits * scalar_value, -1), v)
    return ops.transpose(out, (0, 2, 1, 3)).astype(query.dtype)


@contextmanager
def vendor_op() -> Iterator[None]:
    """Let the vendor's operator be what its documentation says, for the block."""
    with patch.object(ops, "flash_attention_score", documented_flash_attention):
        yield


@contextmanager
def device_ops(obstacle: str | None = None) -> Iterator[None]:
    """Offer both ops, as on a device, for the block; with an `obstacle` ours does not serve."""
    with ExitStack() as stack:
        stack.enter_context(our_ops())
        stack.enter_context(vendor_op())
        stack.enter_context(patch.object(dispatch, "ascend_obstacle", lambda: obstacle))
        yield
