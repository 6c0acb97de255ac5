# SPDX-License-Identifier: Apache-2.0
"""Open a checkpoint of any format that is read; its first bytes tell which it is."""

from __future__ import annotations

from pathlib import Path

from ckpt_convert.checkpoint import Checkpoint
from ckpt_convert.mindspore_file import MindSporeCheckpoint
from ckpt_convert.safetensors_file import SafetensorsCheckpoint
from ckpt_convert.torch_file import TorchCheckpoint
from protenix_ms.errors import CheckpointError

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
        return _reader(path, head)(path)
    except OSError as error:
        raise CheckpointError(f"cannot be opened ({error.strerror or error})", where=str(path),
                              fix="check the path and its permissions") from error


def _reader(path: Path, head: bytes) -> type[Checkpoint]:
    """Choose the reader by the first bytes, or say what the file is instead."""
    def refuse(message: str, fix: str) -> CheckpointError:
        return CheckpointError(message, where=path.name, fix=fix)

    save_again = "load it with the PyTorch that wrote it and torch.save its state dict again"
    if head[:4] == b"PK\x03\x04":
        return TorchCheckpoint
    if head.lstrip()[:1] == b"<":
        raise refuse("a web page, not a checkpoint", "fetch the file itself")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return SafetensorsCheckpoint
    if head[:1] == b"\n" and len(head) > 8 and head[:16].count(b"\0") < 8:
        return MindSporeCheckpoint
    if not head:
        raise refuse("the file is empty", "fetch it again")
    if head.startswith(_LEGACY):
        raise refuse("a legacy PyTorch file (before 1.6, not a zip), which cannot be read without "
                     "executing it", save_again)
    if head[257:262] == b"ustar":
        raise refuse("a legacy PyTorch tar file (before 0.4)", save_again)
    if head[:1] == b"\x80":
        raise refuse("a bare stream of Python objects, which is a program and not a list of "
                     "tensors", save_again)
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 22))
        end = file.read(4)
    if end == b"PK\x05\x06":
        raise refuse("a zip behind other data, which torch.save never writes", save_again)
    raise refuse("neither a PyTorch zip, nor safetensors, nor a MindSpore checkpoint",
                 "give one of these")

