# SPDX-License-Identifier: Apache-2.0
"""Read and write a PyTorch `.pt` without PyTorch, one tensor at a time.

Upstream writes `{"model": state_dict}` for releases, the same with `optimizer`, `scheduler` and
`step` beside it during training, and EMA weights under `model` in a file of their own. Names start
with `module.` when the model was wrapped for data parallelism.

What is written has the zip layout of `torch.save`, which PyTorch loads with `weights_only=True`:
`data.pkl` with the table of tensors in protocol 2, one stored entry per tensor that starts at a
multiple of 64 bytes, `byteorder` and `version`.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import BinaryIO

import numpy as np

from ckpt_convert.archive import Archive
from ckpt_convert.checkpoint import Checkpoint, Column, ReadBits, itemsize, stored, widen
from ckpt_convert.unpickle import TORCH_DTYPE, TORCH_STORAGE, Attributes, View, load

PREFIXES = ("module.", "_orig_mod.")
STATE_DICT_KEYS = ("model", "state_dict")
_TAG = {name: tag for tag, name in TORCH_DTYPE.items()}
ROOT = "archive"
ALIGNMENT = 64
# Opcodes of a file that is written: an empty OrderedDict, the function that makes a tensor.
_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"
_REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


class TorchCheckpoint(Checkpoint):
    """A zip written by `torch.save`."""

    kind = "PyTorch"

    def list_tensors(self) -> None:
        """Fill `table`, see `Checkpoint`."""
        self.archive = Archive(self.file, self.path.name)
        self._fail = self.archive.fail
        self.saved_as = self.archive.root
        self.byte_order = "little"
        if "byteorder" in self.archive.entries:
            self.byte_order = self.archive.read_small("byteorder").decode("ascii", "replace")
        if self.byte_order not in ("little", "big"):
            raise self._fail(f"the byte order is {ascii(self.byte_order[:20])}, not little or big")
        tree = load(self.archive.read_small("data.pkl"), self.path.name)
        self.settings = _model_settings(tree)
        for name, view in self._without_prefix(self._state_dict(tree)).items():
            self._check(name, view)
            self.table[name] = (_TAG[view.dtype], view.shape, view)
        # broadcast views (stride 0) could make petabytes of one number, wide ones read them
        total = sum(max(prod(shape), _span(view)) * itemsize(tag)
                    for tag, shape, view in self.table.values())
        if total > 8 * self.archive.size + (64 << 20):
            raise self._fail(f"declares {total} bytes of tensors in a file of "
                             f"{self.archive.size}", "save contiguous tensors")

    def _state_dict(self, tree: object) -> dict[str, View]:
        """Find the table of tensors inside the saved object."""
        if type(tree) is View:
            return {"": tree}  # a tensor that was saved alone
        expected = "save model.state_dict() or {'model': model.state_dict()}"
        if type(tree) is not dict:
            raise self._fail("holds no dictionary of tensors", expected)
        table = next((tree[k] for k in STATE_DICT_KEYS if type(tree.get(k)) is dict), tree)
        for name, value in table.items():
            if type(value) is not View or type(name) is not str:
                raise self._fail(f"entry {ascii(name)[:80]} of the state dict is not a tensor",
                                 expected)
        if not table:
            raise self._fail("holds no tensor", expected)
        return table

    def _without_prefix(self, table: dict[str, View]) -> dict[str, View]:
        for prefix in PREFIXES:
            odd = [name for name in table if not name.startswith(prefix)]
            if 0 < len(odd) < len(table):
                raise self._fail(f"some names start with '{prefix}', {ascii(odd[0][:80])} does "
                                 "not", "save the state dict of one model")
            if not odd:
                table = {name.removeprefix(prefix): view for name, view in table.items()}
        return table

    def _check(self, name: str, view: View) -> None:
        """Refuse a view outside its storage, or a storage shorter than the stream says."""
        label = f"tensor {ascii(name[:120])}"
        if view.dtype not in _TAG or view.storage.dtype not in _TAG:
            raise self._fail(f"{label} has the type {view.dtype}, which is not converted",
                             "cast it to float32 and save again")
        entry = self.archive.entries.get(f"data/{view.storage.key}")
        if entry is None:
            raise self._fail(f"{label} has no storage data/{view.storage.key} in the archive")
        if view.storage.numel * itemsize(_TAG[view.storage.dtype]) != entry.size:
            raise self._fail(f"{label} declares {view.storage.numel} elements, its storage has "
                             f"{entry.size} bytes")
        if prod(max(n, 1) for n in view.shape) > 2**48:
            raise self._fail(f"{label} declares an absurd shape")
        if (view.offset + _span(view)) * itemsize(_TAG[view.dtype]) > entry.size:
            raise self._fail(f"{label} reaches beyond its storage")

    def read(self, name: str) -> np.ndarray:
        """Read a tensor, see `Checkpoint`."""
        dtype, shape, view = self.table[name]
        bits = stored(dtype, self.byte_order)
        raw = self.archive.read(f"data/{view.storage.key}", view.offset * bits.itemsize,
                                _span(view) * bits.itemsize)
        if bits.kind == "b" and raw.size and raw.max() > 1:
            raise self._fail(f"tensor {ascii(name[:120])} holds bytes that are no truth values")
        steps = [step * bits.itemsize for step in view.stride]
        values = np.lib.stride_tricks.as_strided(raw.view(bits), shape, steps)
        return np.ascontiguousarray(widen(values, dtype)).reshape(shape)


def _model_settings(tree: object) -> dict[str, object]:
    """Read fairseq's settings of the model, which stand beside the tensors of ESM-2."""
    cfg = tree.get("cfg") if type(tree) is dict else None
    namespace = cfg.get("model") if type(cfg) is dict else None
    return namespace.values if type(namespace) is Attributes else {}


def _span(view: View) -> int:
    """Count the elements from the first to the last one of the view, inclusive."""
    if 0 in view.shape:
        return 0
    return 1 + sum((n - 1) * step for n, step in zip(view.shape, view.stride))


def _text(value: str) -> bytes:
    raw = value.encode("utf-8")
    return b"X" + struct.pack("<I", len(raw)) + raw


def _integer(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def _tuple(items: Iterable[bytes]) -> bytes:
    return b"(" + b"".join(items) + b"t"


def _tensor(key: int, dtype: str, shape: tuple[int, ...]) -> bytes:
    """Encode `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`."""
    strides = [prod(shape[axis + 1:]) for axis in range(len(shape))]
    kind = b"ctorch\n" + TORCH_STORAGE[dtype].removeprefix("torch.").encode() + b"\n"
    storage = _tuple([_text("storage"), kind, _text(str(key)), _text("cpu"), _integer(prod(shape))])
    return _REBUILD + _tuple([storage + b"Q", _integer(0), _tuple(map(_integer, shape)),
                              _tuple(map(_integer, strides)), b"\x89", _ORDERED_DICT]) + b"R"


def _namespace(settings: Mapping[str, int | bool | str]) -> bytes:
    """Encode `{"model": argparse.Namespace(**settings)}`."""
    rows = b"".join(
        _text(name) + (_text(value) if type(value) is str else
                       (b"\x88" if value else b"\x89") if type(value) is bool else _integer(value))
        for name, value in settings.items())
    return b"}" + _text("model") + b"cargparse\nNamespace\n)\x81}(" + rows + b"ubs"


def object_stream(
    tensors: Sequence[Column], settings: Mapping[str, int | bool | str] | None = None
) -> bytes:
    """Encode `{"model": OrderedDict(name -> tensor)}`; tensor i lives in storage i.

    Args:
        settings: written as fairseq does, in `cfg`.
    """
    head = _text("cfg") + _namespace(settings) + b"s" if settings else b""
    rows = b"".join(_text(name) + _tensor(i, dtype, shape)
                    for i, (name, dtype, shape) in enumerate(tensors))
    return b"\x80\x02}" + head + _text("model") + _ORDERED_DICT + b"(" + rows + b"us."


def write(file: BinaryIO, tensors: Sequence[Column], read: ReadBits,
          metadata: dict[str, str], settings: Mapping[str, int | bool | str] | None = None) -> None:
    """Stream tensors of types in `TORCH_STORAGE` into a file; `metadata` has no place in it."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        def add(name: str, content: bytes | np.ndarray) -> None:
            # the header is 30 bytes and the name; an extra field pads the content's start
            info = zipfile.ZipInfo(f"{ROOT}/{name}")
            padding = -(file.tell() + 30 + len(info.filename) + 4) % ALIGNMENT
            info.extra = b"FB" + struct.pack("<H", padding) + bytes(padding)
            info.file_size = memoryview(content).nbytes
            with archive.open(info, "w") as entry:
                entry.write(content)

        add("data.pkl", object_stream(tensors, settings))
        add("byteorder", b"little")
        for i, (name, *_) in enumerate(tensors):
            add(f"data/{i}", read(name))
        add("version", b"3\n")
