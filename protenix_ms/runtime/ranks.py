# SPDX-License-Identifier: Apache-2.0
"""Processes that train together, started by `msrun`.

`msrun` starts one process per device and names their number in MS_WORKER_NUM. Each process works
on examples of its own, and the sum of their gradients makes the update.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from mindspore import Tensor, ops
from mindspore.communication import get_group_size, get_rank, init

from protenix_ms.errors import ResourceError
from protenix_ms.typing import Float

# MindSpore's words; the numbers in its list are not those of `msrun`'s logs
_LOST = re.compile(r"[Tt]imed out node list is: .*?\{.*?\}")


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
    """Meet the other processes of `msrun`. Call once, after the device is set.

    The scheduler, which `msrun` starts beside them with the same command, stays in here until
    they end.

    Raises:
        ResourceError: the scheduler has lost one of them; `msrun` then ends the others.
    """
    if int(os.environ.get("MS_WORKER_NUM", "1")) < 2:
        return Ranks()
    try:
        init()
    except RuntimeError as error:
        if not _LOST.search(str(error)):
            raise
        raise ResourceError(
            f"lost a process of the {os.environ['MS_WORKER_NUM']} that train together (killed, out "
            "of memory, or its node failed), so the training ends", where="msrun",
            fix="see their logs, then start the same command with --resume, which goes on from the "
            "last checkpoint with the same numbers") from error
    return Ranks(get_rank(), get_group_size())
