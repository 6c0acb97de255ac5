# SPDX-License-Identifier: Apache-2.0
"""Read a PyTorch `.pt`: archive and object stream become named tensors, one at a time.

Upstream writes `{"model": state_dict}` for releases, the same with `optimizer`, `scheduler`
and `step` beside it during training, and EMA weights under `model` in a file of their own. Names
start with `module.` when the model was wrapped for data parallelism.
"""

from __future__ import annotations

from math import prod

import numpy as np

from ckpt_convert.archive import Archive
from ckpt_convert.checkpoint import Checkpoint
from ckpt_convert.dtypes import TORCH_DTYPE, itemsize, stored, widen
from ckpt_convert.rebuild import View
from ckpt_convert.unpickle import load
from protenix_ms.errors import CheckpointError

PREFIXES = ("module.", "_orig_mod.")
STATE_DICT_KEYS = ("model", "state_dict")
_TAG = {name: tag for tag, name in TORCH_DTYPE.items()}


class TorchCheckpoint(Checkpoint):
    """A zip written by `torch.save`."""

    kind = "PyTorch"

    def list_tensors(self) -> None:
        """Fill `table`, see `Checkpoint`."""
        self.archive = Archive(self.file, self.path.name)
        self.saved_as = self.archive.root
        self.byte_order = "little"
        if "byteorder" in self.archive.entries:
            self.byte_order = self.archive.read_small("byteorder").decode("ascii", "replace")
        if self.byte_order not in ("little", "big"):
            raise self._fail(f"the byte order is {ascii(self.byte_order[:20])}, not little or big")
        tree = load(self.archive.read_small("data.pkl"), self.path.name)
        for name, view in self._without_prefix(self._state_dict(tree)).items():
            self._check(name, view)
            self.table[name] = (_TAG[view.dtype], view.shape, view)
        # broadcast views (stride 0) could make petabytes of one number, wide ones read them
        total = sum(max(prod(shape), _span(view)) * itemsize(tag)
                    for tag, shape, view in self.table.values())
        if total > 8 * self.archive.size + (64 << 20):
            raise self._fail(f"declares {total} bytes of tensors in a file of "
                             f"{self.archive.size}", "save contiguous tensors")

    def _fail(self, message: str, fix: str = "fetch the file again from its source",
              ) -> CheckpointError:
        return CheckpointError(message, where=self.path.name, fix=fix)

    def _state_dict(self, tree: object) -> dict[str, View]:
        """Find the table of tensors inside the saved object."""
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


def _span(view: View) -> int:
    """Count the elements from the first to the last one of the view, inclusive."""
    if 0 in view.shape:
        return 0
    return 1 + sum((n - 1) * step for n, step in zip(view.shape, view.stride))
