# SPDX-License-Identifier: Apache-2.0
"""The objects that the stream of a PyTorch file may build: inert records, none of torch's.

A stream names functions and calls them. Here a name is a `Global`, and a call is looked up in
`REBUILDS`; `unpickle.py` refuses everything else. Every call costs constant time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ckpt_convert.dtypes import TORCH_DTYPE, TORCH_STORAGE


@dataclass(frozen=True)
class Global:
    """A dotted name in the stream; never imported."""

    name: str


@dataclass(frozen=True)
class Storage:
    """A one-dimensional block of the archive: entry `data/<key>` of `numel` elements."""

    key: str
    dtype: str  # torch's name: "torch.float32", or "torch.uint8" for an untyped storage
    numel: int


@dataclass(frozen=True)
class View:
    """A tensor: a strided view (in elements) of a storage."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


STORAGES = {name: TORCH_DTYPE[tag] for tag, name in TORCH_STORAGE.items()}
STORAGES["torch.storage.UntypedStorage"] = STORAGES["torch.UntypedStorage"] = "torch.uint8"
# Element types we do not convert are read past (an optimizer may hold them), not interpreted.
FOREIGN_STORAGES = {f"torch.{n}Storage": n for n in ("ComplexFloat", "ComplexDouble")}
_FOREIGN_DTYPES = {
    f"torch.{n}" for n in ("complex32", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2",
                           "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")
}
_TENSOR_TYPES = {"torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"}


def naturals(values: object, what: str) -> tuple[int, ...]:
    if type(values) is not tuple or len(values) > 32:
        raise ValueError(f"{what} of a tensor is not a tuple of at most 32 integers")
    if any(type(v) is not int or not 0 <= v < 2**48 for v in values):
        raise ValueError(f"{what} of a tensor is negative, absurdly large or not an integer")
    return values


def _tensor(storage, offset, size, stride, *rest, dtype: str = "") -> View:
    if type(storage) is not Storage or len(rest) > 3:
        raise ValueError("a tensor is not rebuilt from a storage of this file")
    shape, stride = naturals(size, "the shape"), naturals(stride, "the stride")
    (offset,) = naturals((offset,), "the offset")
    if len(shape) != len(stride):
        raise ValueError("shape and stride of a tensor differ in length")
    return View(storage, dtype or storage.dtype, offset, shape, stride)


def _tensor_v3(storage, offset, size, stride, *rest) -> View:
    """`rest`: requires_grad, hooks, dtype, metadata."""
    _, _, dtype, *_ = rest
    known = {*TORCH_DTYPE.values(), *_FOREIGN_DTYPES}
    if type(dtype) is not Global or dtype.name not in known:
        raise ValueError("a tensor's dtype is not a torch dtype")
    return _tensor(storage, offset, size, stride, dtype=dtype.name)


def _parameter(view, requires_grad=True, hooks=None, state=None) -> View:
    if type(view) is not View:
        raise ValueError("a parameter is not made from a tensor")
    return view


def _from_type(rebuild, kind, arguments, state=None) -> View:
    """Rebuild a tensor and drop `state`, the Python attributes that a person set on it."""
    if type(rebuild) is not Global or type(kind) is not Global or kind.name not in _TENSOR_TYPES:
        raise ValueError("a tensor subclass that is not torch's own")
    known = rebuild.name in _TENSOR_REBUILDS
    if not known or type(arguments) is not tuple or len(arguments) > 8:
        raise ValueError("a tensor subclass is not rebuilt from a tensor")
    return _TENSOR_REBUILDS[rebuild.name](*arguments)


def _empty_mapping() -> dict:
    """Build an `OrderedDict()`; its items follow as opcodes."""
    return {}


def _same(values=()) -> tuple | list:
    """Build a `torch.Size`, `set`, `frozenset` or `bytearray` as its argument itself.

    It is not copied: a stream can call with one long list a million times.
    """
    if type(values) not in (tuple, list, str):
        raise ValueError("a container is not made from a list")
    return values


def _text(text, *encoding) -> str:
    """Build a device, or bytes as protocol 2 writes them, as text."""
    if type(text) is not str:
        raise ValueError("text was expected")
    return text


_TENSOR_REBUILDS: dict[str, Callable] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}
REBUILDS: dict[str, Callable] = {
    **_TENSOR_REBUILDS,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "collections.OrderedDict": _empty_mapping,
    "torch.Size": _same,
    "builtins.set": _same,
    "builtins.frozenset": _same,
    "builtins.bytearray": _same,
    "torch.device": _text,
    "_codecs.encode": _text,
}
ALLOWED = {*REBUILDS, *STORAGES, *FOREIGN_STORAGES, *TORCH_DTYPE.values(), *_FOREIGN_DTYPES,
           *_TENSOR_TYPES}


def put(table: object, key: object, value: object) -> None:
    if type(table) is not dict:
        raise ValueError("an item is set on something that is not a dictionary")
    # A deeply nested tuple overflows the interpreter's stack when hashed; large integers can be
    # chosen to collide. Text is hashed with a secret.
    if type(key) is not str and not (type(key) is int and abs(key) < 2**31):
        raise ValueError("a dictionary key is neither text nor a small integer")
    table[key] = value
