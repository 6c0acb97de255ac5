# SPDX-License-Identifier: Apache-2.0
"""Read the object stream of a PyTorch file (a pickle) without executing anything in it.

Python's own unpickler calls what the stream names. This is a small stack machine instead:
`pickletools` splits the stream into opcodes, a name becomes an inert `Global`, a call is looked up
in the short table `REBUILDS`, which builds inert records, and every other name is refused. Nothing
recurses, only text and small integers are hashed, every call costs constant time, and a stream of
n bytes costs O(n).
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from ckpt_convert.checkpoint import TYPES
from protenix_ms.errors import CheckpointError

TORCH_DTYPE = {tag: f"torch.{row[1]}" for tag, row in TYPES.items()}
TORCH_STORAGE = {tag: f"torch.{row[2]}Storage" for tag, row in TYPES.items() if row[2]}
MAX_INTEGER_BITS = 8192
# Opcodes whose argument is the value that they put on the stack.
_VALUES = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
})


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


@dataclass
class Attributes:
    """The attributes of an `argparse.Namespace`, in which fairseq keeps a model's settings."""

    values: dict = field(default_factory=dict)


STORAGES = {name: TORCH_DTYPE[tag] for tag, name in TORCH_STORAGE.items()}
STORAGES["torch.storage.UntypedStorage"] = STORAGES["torch.UntypedStorage"] = "torch.uint8"
# Element types we do not convert are read past (an optimizer may hold them), not interpreted.
STORAGES |= {name: name for name in ("torch.ComplexFloatStorage", "torch.ComplexDoubleStorage")}
_DTYPES = {*TORCH_DTYPE.values(), *(f"torch.{n}" for n in (
    "complex32", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz",
    "float8_e5m2fnuz", "float8_e8m0fnu"))}
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
    if type(dtype) is not Global or dtype.name not in _DTYPES:
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


def _same(values=(), *_) -> tuple | list | str:
    """Build a `torch.Size`, `set`, `bytearray`, device or encoded text as its first argument.

    A list is not copied: a stream can call with one long list a million times.
    """
    if type(values) not in (tuple, list, str):
        raise ValueError("a container is not made from a list or text")
    return values


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
    "argparse.Namespace": Attributes,
    **dict.fromkeys(("torch.Size", "torch.device", "builtins.set", "builtins.frozenset",
                     "builtins.bytearray", "_codecs.encode"), _same),
}
ALLOWED = {*REBUILDS, *STORAGES, *_DTYPES, *_TENSOR_TYPES}


class _Machine:
    """A stack machine over the opcodes that plain data and tensors need, protocols 1 to 5."""

    def __init__(self, where: str) -> None:
        self.where, self.at = where, 0
        self.stack: list = []
        self.marks: list[list] = []
        self.memo: dict[int, object] = {}

    def run(self, data: bytes) -> object:
        """Execute the stream and return the one object that it leaves."""
        push, act = self.pushing_opcodes(), self.acting_opcodes()
        for opcode, argument, self.at in pickletools.genops(io.BytesIO(data)):
            name = opcode.name
            if name in _VALUES:
                if type(argument) is int and argument.bit_length() > MAX_INTEGER_BITS:
                    raise ValueError("an absurdly large integer")
                self.stack.append(argument)
            elif name in push:
                value = push[name](argument)  # first: it may replace the stack
                self.stack.append(value)
            elif name in act:
                act[name](argument)
            elif name != "STOP":
                raise ValueError(f"opcode {name} has no place in a file of tensors")
        (result,) = self.stack
        return result

    def pushing_opcodes(self) -> dict[str, Callable]:
        """List the opcodes that put one value on the stack."""
        return {
            "NONE": lambda _: None, "NEWTRUE": lambda _: True, "NEWFALSE": lambda _: False,
            "EMPTY_LIST": lambda _: [], "EMPTY_DICT": lambda _: {}, "EMPTY_TUPLE": lambda _: (),
            "EMPTY_SET": lambda _: [], "LIST": self.since_mark, "FROZENSET": self.since_mark,
            "TUPLE": lambda _: tuple(self.since_mark()), "DICT": self.dict_since_mark,
            "TUPLE1": lambda _: tuple(self.last(1)), "TUPLE2": lambda _: tuple(self.last(2)),
            "TUPLE3": lambda _: tuple(self.last(3)), "DUP": lambda _: self.stack[-1],
            "GLOBAL": lambda names: self.find(*names.split(" ", 1)),
            "STACK_GLOBAL": lambda _: self.find(*self.last(2)),
            "REDUCE": lambda _: self.call(*self.last(2)),
            "NEWOBJ": lambda _: self.new(*self.last(2)),
            "BINPERSID": lambda _: self.storage(*self.last(1)),
            **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda slot: self.memo[slot]),
        }

    def acting_opcodes(self) -> dict[str, Callable]:
        """List the opcodes that work on the stack or the memo."""
        return {
            "PROTO": self.protocol, "FRAME": lambda _: None, "MARK": self.mark,
            "POP": lambda _: self.stack.pop(), "POP_MARK": self.since_mark,
            **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self.remember),
            "MEMOIZE": lambda _: self.remember(len(self.memo)),
            "APPEND": lambda _: self.extend(self.last(1)),
            **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda _: self.extend(self.since_mark())),
            "SETITEM": lambda _: self.set_items(self.last(2)),
            "SETITEMS": lambda _: self.set_items(self.since_mark()), "BUILD": self.build,
        }

    def protocol(self, version: int) -> None:
        if version > 5:
            raise ValueError(f"object stream of the unknown protocol {version}")

    def mark(self, _: object) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def remember(self, slot: int) -> None:
        self.memo[slot] = self.stack[-1]

    def since_mark(self, _: object = None) -> list:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def last(self, n: int) -> list:
        if len(self.stack) < n:
            raise ValueError("the object stream takes more than it holds")
        items = self.stack[-n:]
        del self.stack[-n:]
        return items

    def extend(self, items: list) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError("items are added to something that is not a list")
        self.stack[-1].extend(items)

    def set_items(self, items: list) -> None:
        if len(items) % 2:
            raise ValueError("a key without a value")
        if type(self.stack[-1]) is not dict:
            raise ValueError("an item is set on something that is not a dictionary")
        for key, value in zip(items[::2], items[1::2]):
            # A deeply nested tuple overflows the interpreter's stack when hashed; large integers
            # can be chosen to collide. Text is hashed with a secret.
            if type(key) is not str and not (type(key) is int and abs(key) < 2**31):
                raise ValueError("a dictionary key is neither text nor a small integer")
            self.stack[-1][key] = value

    def dict_since_mark(self, _: object) -> dict:
        items = self.since_mark()
        self.stack.append({})
        self.set_items(items)
        return self.stack.pop()

    def find(self, module: object, name: object) -> Global:
        """Make a global, or refuse its name."""
        if type(module) is not str or type(name) is not str:
            raise ValueError("a global is not named by text")
        dotted = f"{module}.{name}".replace("__builtin__.", "builtins.", 1)
        if dotted not in ALLOWED:
            raise CheckpointError(
                f"the file asks for {ascii(dotted[:80])}, which is no tensor or plain container; "
                "nothing was executed", where=self.where,
                fix="do not load this file with PyTorch either unless you trust its author",
            )
        return Global(dotted)

    def call(self, function: object, arguments: object) -> object:
        if type(function) is not Global or function.name not in REBUILDS:
            raise ValueError("a call of something that is no rebuild function")
        if type(arguments) is not tuple or len(arguments) > 8:  # a long one could be reused
            raise ValueError("the arguments of a call are no tuple of at most eight")
        return REBUILDS[function.name](*arguments)

    def new(self, kind: object, arguments: object) -> object:
        """Make an object of a class: of a namespace alone, without arguments."""
        if kind != Global("argparse.Namespace") or arguments != ():
            raise ValueError("an object of something that is no namespace")
        return Attributes()

    def storage(self, identity: object) -> Storage:
        if type(identity) is not tuple or len(identity) != 5 or identity[0] != "storage":
            raise ValueError("a persistent id is not a tensor storage")
        _, kind, key, _, numel = identity
        if type(kind) is not Global or kind.name not in STORAGES:
            raise ValueError("a storage of unknown type")
        if type(key) is not str or not (len(key) < 20 and key.isascii() and key.isdigit()):
            raise ValueError("the key of a storage is not a decimal number")
        naturals((numel,), "the storage size")
        return Storage(key, STORAGES[kind.name], numel)

    def build(self, _: object) -> None:
        """Set the state of a namespace; drop that of an OrderedDict (`_metadata`)."""
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is Attributes and type(state) is dict:
            target.values = state  # not copied: a stream can set a long one a million times
        elif type(target) is not dict:
            raise ValueError("state is set on something that is not a dictionary")


def load(data: bytes, where: str) -> object:
    """Build the objects of a stream: dict, list, tuple, text, numbers, `View`, `Global`.

    Args:
        data: the whole stream, as in the archive's `data.pkl`.
        where: the file, for messages.

    Raises:
        CheckpointError: a name outside `ALLOWED`, a malformed or a truncated stream.
    """
    machine = _Machine(where)
    try:
        return machine.run(data)
    except (ValueError, IndexError, KeyError, TypeError, struct.error, OverflowError) as error:
        stated = type(error) is ValueError
        reason = ascii(str(error))[1:121] if stated else "its opcodes do not fit together"
        raise CheckpointError(
            f"the object stream cannot be read near byte {machine.at}: {reason}", where=where,
            fix="the file is damaged or was made to do harm; fetch it again from its source",
        ) from error
