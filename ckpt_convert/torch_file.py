# SPDX-License-Identifier: Apache-2.0
"""Reading a PyTorch `.pt`: archive + object stream -> named tensors, one at a time.

Upstream writes `{"model": state_dict}` for releases, the same with `optimizer`, `scheduler`
and `step` beside it during training, and EMA weights under `model` in a file of their own;
names carry `module.` when the model was wrapped for data parallelism.
"""

from __future__ import annotations

from contextlib import ExitStack
from math import prod
from pathlib import Path

import numpy as np

from ckpt_convert.archive import Archive
from ckpt_convert.dtypes import TORCH_DTYPE, itemsize, stored, widen
from ckpt_convert.rebuild import View
from ckpt_convert.unpickle import load
from protenix_ms.errors import CheckpointError

PREFIXES = ("module.", "_orig_mod.")
STATE_DICT_KEYS = ("model", "state_dict")
_TAG = {name: tag for tag, name in TORCH_DTYPE.items()}


class TorchCheckpoint:
    """A `Checkpoint` (see `read.py`) of a zip written by `torch.save`."""

    kind = "PyTorch"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.archive = Archive(path)
        with ExitStack() as on_failure:
            on_failure.callback(self.archive.close)
            self.saved_as = self.archive.root
            order = "little"
            if "byteorder" in self.archive.entries:
                order = self.archive.read_small("byteorder").decode("ascii", "replace")
            if order not in ("little", "big"):
                raise self._fail(f"the byte order is {ascii(order[:20])}, not little or big")
            self.byte_order = order
            tree = load(self.archive.read_small("data.pkl"), path.name)
            self.views = self._without_prefix(self._state_dict(tree))
            for name, view in self.views.items():
                self._check(name, view)
            self._check_total()
            on_failure.pop_all()

    def _fail(self, message: str, fix: str = "fetch the file again from its source"):
        return CheckpointError(message, where=self.path.name, fix=fix)

    def _state_dict(self, tree: object) -> dict[str, View]:
        """The table of tensors inside what was saved."""
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
            if next(iter(table)).startswith(prefix):
                odd = next((name for name in table if not name.startswith(prefix)), None)
                if odd is not None:
                    raise self._fail(f"some names start with '{prefix}', {ascii(odd[:80])} does "
                                     "not", "save the state dict of one model")
                table = {name.removeprefix(prefix): view for name, view in table.items()}
        return table

    def _check(self, name: str, view: View) -> None:
        """The view lies inside its storage and the storage is as long as the stream says."""
        label = f"tensor {ascii(name[:120])}"
        if view.dtype not in _TAG or view.storage.dtype not in _TAG:
            raise self._fail(f"{label} has the type {view.dtype}, which is not converted",
                             "cast it to float32 and save again")
        entry = self.archive.entries.get(f"data/{view.storage.key}")
        if entry is None:
            raise self._fail(f"{label} has no storage data/{view.storage.key} in the archive")
        size = itemsize(_TAG[view.dtype])
        if view.storage.numel * itemsize(_TAG[view.storage.dtype]) != entry.size:
            raise self._fail(f"{label} declares {view.storage.numel} elements, its storage has "
                             f"{entry.size} bytes")
        if prod(max(n, 1) for n in view.shape) > 2**48:
            raise self._fail(f"{label} declares an absurd shape")
        if (view.offset + self._span(view)) * size > entry.size:
            raise self._fail(f"{label} reaches beyond its storage")

    def _check_total(self) -> None:
        """Broadcast views (stride 0) could make petabytes of one number, wide ones read them."""
        total = sum(max(prod(v.shape), self._span(v)) * itemsize(_TAG[v.dtype])
                    for v in self.views.values())
        if total > 8 * self.archive.size + (64 << 20):
            raise self._fail(f"declares {total} bytes of tensors in a file of "
                             f"{self.archive.size}", "save contiguous tensors")

    @staticmethod
    def _span(view: View) -> int:
        """Elements from the first to the last one of the view, inclusive."""
        if 0 in view.shape:
            return 0
        return 1 + sum((n - 1) * step for n, step in zip(view.shape, view.stride))

    def __contains__(self, name: str) -> bool:
        return name in self.views

    def names(self) -> list[str]:
        return list(self.views)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.views[name].shape

    def dtype(self, name: str) -> str:
        return _TAG[self.views[name].dtype]

    def read(self, name: str) -> np.ndarray:
        """The tensor as a new array, see `Checkpoint.read`.

        Raises:
            CheckpointError: the file became shorter, or its checksum fails.
        """
        view = self.views[name]
        bits = stored(self.dtype(name), self.byte_order)
        raw = self.archive.read(f"data/{view.storage.key}", view.offset * bits.itemsize,
                                self._span(view) * bits.itemsize)
        if bits.kind == "b" and raw.size and raw.max() > 1:
            raise self._fail(f"tensor {ascii(name[:120])} holds bytes that are no truth values")
        steps = [step * bits.itemsize for step in view.stride]
        values = np.lib.stride_tricks.as_strided(raw.view(bits), view.shape, steps)
        return np.ascontiguousarray(widen(values, self.dtype(name))).reshape(view.shape)

    def close(self) -> None:
        self.archive.close()
