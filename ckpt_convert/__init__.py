# SPDX-License-Identifier: Apache-2.0
"""Read, recognise and convert checkpoints of upstream Protenix and ours, without PyTorch."""

from ckpt_convert.checkpoint import Checkpoint
from ckpt_convert.read import load_arrays, open_checkpoint

__all__ = ["Checkpoint", "load_arrays", "open_checkpoint"]
