# SPDX-License-Identifier: Apache-2.0
"""The one runtime policy: device, number format, chunk sizes.

The code that decides asks the policy, so that no signature has a `chunk_size` or a switch of
kernels. `using(policy)` sets it for a block of work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Device = Literal["CPU", "Ascend"]


@dataclass(frozen=True)
class Policy:
    """Says how to run.

    Attributes:
        device: MindSpore device target.
        dtype: "fp32" or "bf16"; which modules stay fp32 under bf16 is `precision.ISLANDS`.
        chunk: rows per chunk of pair-sized work, None for whole arrays. Never splits an axis that
            is normalised or softmaxed, so results do not depend on it.
        memory: bytes that a job may take, None for those of the machine; a small number makes
            chunks small.
        threads: threads of our own CPU kernels, 0 for all cores. Results do not depend on it.
        kernels: use our own kernels where they exist; MindSpore's operators otherwise.
        recompute: kinds of modules (`recompute.KINDS`) that forget their activations in training.
        jit: compile the blocks of the diffusion and pairformer stacks, None for the device's
            default (see `compiles`). Training ignores it.
    """

    device: Device = "CPU"
    dtype: Literal["fp32", "bf16"] = "fp32"
    chunk: int | None = None
    memory: int | None = None
    threads: int = 0
    kernels: bool = True
    recompute: frozenset[str] = frozenset()
    jit: bool | None = None

    @property
    def compiles(self) -> bool:
        """Tell whether stacks compile; by default on Ascend."""
        return self.device == "Ascend" if self.jit is None else self.jit


_current = Policy()


def policy() -> Policy:
    """Return the policy in force."""
    return _current


@contextmanager
def using(new: Policy) -> Iterator[Policy]:
    """Put `new` in force for the block."""
    global _current
    before, _current = _current, new
    try:
        yield new
    finally:
        _current = before
