# SPDX-License-Identifier: Apache-2.0
"""Processes that train together, started by `msrun`.

`msrun` starts one process per device and names their number in MS_WORKER_NUM. Each process works
on examples of its own, and the sum of their gradients makes the update.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from mindspore import Tensor, ops
from mindspore.communication import GlobalComm, get_group_size, get_rank, init

from protenix_ms.typing import Float


@dataclass(frozen=True)
class Ranks:
    """Place of this process among those that train together.

    Attributes:
        rank: number of this process, from 0.
        count: number of processes; 1 without `msrun`.
    """

    rank: int = 0
    count: int = 1

    def total(self, x: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Sum over all processes, with the same result on each."""
        return ops.AllReduce()(x) if self.count > 1 else x


def join() -> Ranks:
    """Meet the other processes of `msrun`. Call once, after the device is set."""
    if int(os.environ.get("MS_WORKER_NUM", "1")) < 2:
        return Ranks()
    if not GlobalComm.INITED:
        init()
    return Ranks(get_rank(), get_group_size())
