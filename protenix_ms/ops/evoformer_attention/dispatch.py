# SPDX-License-Identifier: Apache-2.0
"""Choose the implementation of attention: ascend, else vendor, else cpu, else reference.

Every reason is one sentence, logged once. PROTENIX_MS_EVO_ATTN overrides the choice; an
implementation that it names and that cannot serve is refused rather than replaced.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, lru_cache

import mindspore
import numpy as np
from mindspore import Tensor

from protenix_ms.errors import ResourceError
from protenix_ms.ops.evoformer_attention import env
from protenix_ms.ops.evoformer_attention.ascend import MAX_WIDTH, ascend_attention
from protenix_ms.ops.evoformer_attention.cpu import kernel_attention
from protenix_ms.ops.evoformer_attention.reference import reference_attention
from protenix_ms.ops.evoformer_attention.vendor import vendor_attention
from protenix_ms.ops.native import kernels_serve, library_path
from protenix_ms.runtime.policy import policy

SELF_TEST_TOLERANCE = 2e-2

_log = logging.getLogger(__name__)


@cache
def form(name: env.Choice) -> Callable:
    """Look up the function of an implementation."""
    return {"ascend": ascend_attention, "vendor": vendor_attention, "cpu": kernel_attention,
            "reference": reference_attention}[name]


@cache
def _chip() -> str:
    """Ask the runtime for the device's name; empty if it cannot tell."""
    try:
        return str(mindspore.hal.get_device_name(0, "Ascend"))
    except (RuntimeError, ValueError, TypeError, AttributeError):
        return ""


def _gradients(attention: Callable, inputs: tuple[Tensor, ...], mask: Tensor) -> list[np.ndarray]:
    scale = inputs[0].shape[-1] ** -0.5

    def total(*x):
        out = attention(*x, mask, scale)
        return (out.astype(mindspore.float32) ** 2).sum(), out

    (_, out), gradients = mindspore.value_and_grad(total, (0, 1, 2, 3), has_aux=True)(*inputs)
    return [x.astype(mindspore.float32).asnumpy() for x in (out, *gradients)]


def self_test(attention: Callable) -> str | None:
    """Run a small attention forward and backward against the reference.

    Returns:
        What differs, as the end of a sentence; None if nothing does.
    """
    rng = np.random.default_rng(0)
    shapes = ((1, 3, 40, 2, 24), (1, 3, 70, 2, 24), (1, 3, 70, 2, 24), (1, 1, 2, 40, 70))
    arrays = [rng.normal(size=s).astype(np.float16) for s in shapes]
    mask = Tensor(rng.random((1, 3, 1, 1, 70)) < 0.7)
    exact = _gradients(
        reference_attention, tuple(Tensor(x.astype(np.float32)) for x in arrays), mask
    )
    try:
        ours = _gradients(attention, tuple(Tensor(x) for x in arrays), mask)
    except (RuntimeError, ValueError, TypeError) as error:
        return f"its self-test failed to run ({str(error).splitlines()[0]})"
    for name, x, y in zip(("out", "dq", "dk", "dv", "dbias"), ours, exact):
        error = np.abs(x - y).max() / np.abs(y).max()
        if not error <= SELF_TEST_TOLERANCE:
            return f"its self-test is off by {error:.1e} in {name}"
    return None


@cache
def ascend_obstacle() -> str | None:
    """Say why our Ascend op does not serve in this process; None if it passed its self-test."""
    reason = env.ascend_obstacle(_chip()) or self_test(form("ascend"))
    if reason:
        _log.warning("attention uses the vendor's operator, not ours: %s", reason)
    else:
        _log.info("attention uses our Ascend op")
    return reason


def _refuse(name: str, reason: str) -> None:
    raise ResourceError(
        f"attention '{name}' cannot serve, {reason}", where=env.VARIABLE,
        fix="or unset the variable",
    )


def _on_ascend(wish: env.Choice, low: bool, width: int) -> env.Choice:
    """Choose on an Ascend device, for fp16/bf16 (`low`) and this head dimension."""
    if wish == "cpu":
        _refuse(wish, "the device is not CPU")
    if not low:
        if wish in ("ascend", "vendor"):
            _refuse(wish, "it takes fp16 and bf16 only")
        return "reference"
    if wish == "vendor":
        return wish
    small = width <= MAX_WIDTH and width % 8 == 0
    reason = ascend_obstacle() if small else f"it has no head dimension {width}"
    if wish == "ascend" and reason:
        _refuse(wish, reason)
    return "vendor" if reason else "ascend"


@lru_cache(maxsize=0)  # keeps nothing; but a graph calls it while compiling, and does not parse it
def implementation(dtype: mindspore.Type, width: int) -> env.Choice:
    """Choose for queries of this type and head dimension, under the policy in force.

    Raises:
        ResourceError: if PROTENIX_MS_EVO_ATTN asks for one that cannot serve here.
        ConfigError: if it names none.
    """
    wish = env.requested()
    if wish == "reference" or not policy().kernels:
        return "reference"
    if policy().device == "Ascend":
        return _on_ascend(wish, dtype != mindspore.float32, width)
    if wish in ("ascend", "vendor"):
        _refuse(wish, "the device is CPU")
    if wish == "cpu" and library_path() is None:
        _refuse(wish, "its kernels could not be compiled")
    return "cpu" if dtype == mindspore.float32 and kernels_serve() else "reference"
