# SPDX-License-Identifier: Apache-2.0
"""Open a checkpoint of any format, which its first bytes tell, and load its arrays strictly."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from ckpt_convert.checkpoint import Checkpoint
from ckpt_convert.mindspore_file import MindSporeCheckpoint
from ckpt_convert.safetensors_file import SafetensorsCheckpoint
from ckpt_convert.torch_file import TorchCheckpoint
from ckpt_convert.variant import compare, require
from protenix_ms.config.parameters import Shapes
from protenix_ms.errors import CheckpointError

logger = logging.getLogger("protenix_ms")
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # torch's magic number as protocol 2 writes it


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a PyTorch `.pt`, a safetensors file or a MindSpore `.ckpt`; nothing in it is executed.

    Only the list of tensors is read. The caller closes it.

    Raises:
        CheckpointError: absent, unreadable, of an unknown or refused format, damaged.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise CheckpointError("is a folder or a device, not a file", where=str(path),
                                  fix="name the file itself")
        with path.open("rb") as file:
            head = file.read(512)
            file.seek(max(0, path.stat().st_size - 22))
            reader = _reader(head, file.read(), path.name)
        return reader(path)
    except OSError as error:
        raise CheckpointError(f"cannot be opened ({error.strerror or error})", where=str(path),
                              fix="check the path and its permissions") from error


def _reader(head: bytes, tail: bytes, where: str) -> type[Checkpoint]:
    """Choose the reader by the first bytes, or say what the file is instead."""
    page = head.lstrip()[:1] == b"<" and head[1:3] != b"<\n"  # a record of 60 bytes in a .ckpt
    if head[:4] == b"PK\x03\x04":
        return TorchCheckpoint
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return SafetensorsCheckpoint
    if head[:1] == b"\n" and len(head) > 8 and head[:16].count(b"\0") < 8 and not page:
        return MindSporeCheckpoint
    save_again = "load it with the PyTorch that wrote it and torch.save its state dict again"
    kinds = (
        (page, "a web page, not a checkpoint", "fetch the file itself"),
        (not head, "the file is empty", "fetch it again"),
        (head.startswith(_LEGACY), "a legacy PyTorch file (before 1.6, not a zip), which cannot be "
                                   "read without executing it", save_again),
        (head[257:262] == b"ustar", "a legacy PyTorch tar file (before 0.4)", save_again),
        (head[:1] == b"\x80", "a bare stream of Python objects, which is a program and not a list "
                              "of tensors", save_again),
        (tail[:4] == b"PK\x05\x06", "a zip behind other data, which torch.save never writes",
         save_again),
        (True, "neither a PyTorch zip, nor safetensors, nor a MindSpore checkpoint",
         "give one of these"),
    )
    message, fix = next((message, fix) for holds, message, fix in kinds if holds)
    raise CheckpointError(message, where=where, fix=fix)


def load_arrays(path: Path, expected: Shapes) -> Iterator[tuple[str, np.ndarray]]:
    """Read every expected parameter of a checkpoint, in the expected order, as float32.

    Names and shapes are checked before the first array is read. At most one array is in memory.
    Tolerated absences (`variant.Difference.filled`) come as zeros with one line in the log.

    Args:
        path: PyTorch `.pt`, safetensors or MindSpore `.ckpt`.
        expected: parameter name -> shape, as `protenix_ms.model.weights.parameter_shapes` gives it.

    Raises:
        CheckpointError: a file of another model, refused or damaged.
    """
    with ExitStack() as on_failure:
        checkpoint = on_failure.enter_context(closing(open_checkpoint(path)))
        difference = compare(checkpoint.shapes(), expected)
        require(difference, str(path), "the configured model")
        on_failure.pop_all()
    for remark in difference.remarks():
        logger.warning("%s: %s", path, remark)
    return _arrays(checkpoint, expected)


def _arrays(checkpoint: Checkpoint, expected: Shapes) -> Iterator[tuple[str, np.ndarray]]:
    with closing(checkpoint):
        for name, shape in expected.items():
            values = checkpoint.read(name) if name in checkpoint.table else np.zeros(shape)
            yield name, values.astype(np.float32, copy=False)
