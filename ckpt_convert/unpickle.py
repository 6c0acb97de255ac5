# SPDX-License-Identifier: Apache-2.0
"""Reading the object stream of a PyTorch file (a pickle) without executing anything in it.

Python's own unpickler calls what the stream names, and can be made to allocate gigabytes by ten
bytes. This is a small stack machine of its own: a name is an inert `Global`, a call is looked up
in the short table of `rebuild.py`, every other name is refused. Nothing recurses, nothing
is hashed but text and small integers, and a stream of n bytes costs O(n).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from ckpt_convert.rebuild import (
    ALLOWED,
    FOREIGN_STORAGES,
    REBUILDS,
    STORAGES,
    Global,
    Storage,
    naturals,
    put,
)
from protenix_ms.errors import CheckpointError

MAX_INTEGER_BYTES = 1024


class _Machine:
    """Stack machine over the opcodes that plain data and tensors need, protocols 1 to 5."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data, self.where, self.at = data, where, 0
        self.stack: list = []
        self.marks: list[list] = []
        self.memo: dict[int, object] = {}

    def take(self, n: int) -> bytes:
        piece = self.data[self.at : self.at + n]
        if len(piece) != n:
            raise ValueError("the object stream ends too early")
        self.at += n
        return piece

    def number(self, layout: str) -> int | float:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> str:
        end = self.data.find(b"\n", self.at, self.at + 4096)
        if end < 0:
            raise ValueError("a line of the object stream does not end")
        return self.take(end + 1 - self.at)[:-1].decode("utf-8")

    def sized(self, layout: str) -> bytes:
        return self.take(self.number(layout))

    def since_mark(self) -> list:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def find(self, module: object, name: object) -> Global:
        if type(module) is not str or type(name) is not str:
            raise ValueError("a global is not named by text")
        dotted = f"{module}.{name}".replace("__builtin__.", "builtins.", 1)
        if dotted not in ALLOWED:
            raise CheckpointError(
                f"the file asks for {_quoted(dotted)}, which is no tensor or plain container; "
                "nothing was executed", where=self.where,
                fix="do not load this file with PyTorch either unless you trust its author",
            )
        return Global(dotted)

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Global or function.name not in REBUILDS:
            raise ValueError("a call of something that is no rebuild function")
        if type(arguments) is not tuple or len(arguments) > 8:  # a long one could be reused
            raise ValueError("the arguments of a call are no tuple of at most eight")
        self.stack.append(REBUILDS[function.name](*arguments))

    def persistent(self) -> None:
        identity = self.stack.pop()
        if type(identity) is not tuple or len(identity) != 5 or identity[0] != "storage":
            raise ValueError("a persistent id is not a tensor storage")
        _, kind, key, _, numel = identity
        if type(kind) is not Global or kind.name not in {*STORAGES, *FOREIGN_STORAGES}:
            raise ValueError("a storage of unknown type")
        if type(key) is not str or not (len(key) < 20 and key.isascii() and key.isdigit()):
            raise ValueError("the key of a storage is not a decimal number")
        naturals((numel,), "the storage size")
        self.stack.append(Storage(key, STORAGES.get(kind.name, kind.name), numel))

    def build(self) -> None:
        """State of an object: only an OrderedDict's attributes (`_metadata`), which we drop."""
        self.stack.pop()
        if type(self.stack[-1]) is not dict:
            raise ValueError("state is set on something that is not a dictionary")

    def extend(self) -> None:
        items = self.since_mark()
        if type(self.stack[-1]) is not list:
            raise ValueError("items are added to something that is not a list")
        self.stack[-1].extend(items)

    def set_items(self, items: list) -> None:
        if len(items) % 2:
            raise ValueError("a key without a value")
        for key, value in zip(items[::2], items[1::2]):
            put(self.stack[-1], key, value)

    def integer(self, raw: bytes) -> int:
        if len(raw) > MAX_INTEGER_BYTES:
            raise ValueError("an absurdly large integer")
        return int.from_bytes(raw, "little", signed=True)

    def last(self, n: int) -> list:
        if len(self.stack) < n:
            raise ValueError("the object stream takes more than it holds")
        items = self.stack[-n:]
        del self.stack[-n:]
        return items

    def run(self) -> object:
        push = self.push_opcodes()
        do = self.act_opcodes()
        while True:
            opcode = self.take(1)
            if opcode in push:
                value = push[opcode]()  # first: it may replace the stack
                self.stack.append(value)
            elif opcode in do:
                do[opcode]()
            elif opcode == b".":
                (result,) = self.stack
                return result
            else:
                raise ValueError(f"opcode {opcode!r} has no place in a file of tensors")

    def push_opcodes(self) -> dict[bytes, Callable]:
        """Opcodes that put one value on the stack."""
        number, sized, text = self.number, self.sized, lambda raw: raw.decode("utf-8", "strict")
        return {
            b"N": lambda: None, b"\x88": lambda: True, b"\x89": lambda: False,
            b"I": lambda: _line_integer(self.line()), b"L": lambda: _line_integer(self.line()),
            b"F": lambda: float(self.line()), b"G": lambda: number(">d"),
            b"J": lambda: number("<i"), b"K": lambda: number("<B"), b"M": lambda: number("<H"),
            b"\x8a": lambda: self.integer(sized("<B")), b"\x8b": lambda: self.integer(sized("<I")),
            b"X": lambda: text(sized("<I")), b"\x8c": lambda: text(sized("<B")),
            b"\x8d": lambda: text(sized("<Q")),
            b"B": lambda: sized("<I"), b"C": lambda: sized("<B"), b"\x8e": lambda: sized("<Q"),
            b"\x96": lambda: sized("<Q"),
            b"]": list, b"}": dict, b")": tuple, b"\x8f": list,
            b"l": self.since_mark, b"t": lambda: tuple(self.since_mark()),
            b"\x91": self.since_mark, b"d": self.dict_since_mark,
            b"\x85": lambda: tuple(self.last(1)), b"\x86": lambda: tuple(self.last(2)),
            b"\x87": lambda: tuple(self.last(3)),
            b"c": lambda: self.find(self.line(), self.line()),
            b"\x93": lambda: self.find(*self.last(2)),
            b"h": lambda: self.memo[number("<B")], b"j": lambda: self.memo[number("<I")],
            b"g": lambda: self.memo[int(self.line())], b"2": lambda: self.stack[-1],
        }

    def dict_since_mark(self) -> dict:
        items = self.since_mark()
        self.stack.append({})
        self.set_items(items)
        return self.stack.pop()

    def act_opcodes(self) -> dict[bytes, Callable]:
        """Opcodes that work on the stack or the memo."""
        number, stack_top = self.number, lambda: self.stack[-1]
        return {
            b"\x80": lambda: self.protocol(number("<B")), b"\x95": lambda: number("<Q"),
            b"(": self.mark, b"0": lambda: self.stack.pop(), b"1": self.since_mark,
            b"q": lambda: self.memo.__setitem__(number("<B"), stack_top()),
            b"r": lambda: self.memo.__setitem__(number("<I"), stack_top()),
            b"p": lambda: self.memo.__setitem__(int(self.line()), stack_top()),
            b"\x94": lambda: self.memo.__setitem__(len(self.memo), stack_top()),
            b"a": self.append, b"e": self.extend, b"\x90": self.extend,
            b"s": lambda: self.set_items(self.last(2)),
            b"u": lambda: self.set_items(self.since_mark()),
            b"R": self.call, b"Q": self.persistent, b"b": self.build,
        }

    def protocol(self, version: int) -> None:
        if version > 5:
            raise ValueError(f"object stream of the unknown protocol {version}")

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def append(self) -> None:
        (item,) = self.last(1)
        if type(self.stack[-1]) is not list:
            raise ValueError("an item is added to something that is not a list")
        self.stack[-1].append(item)


def _line_integer(text: str) -> int | bool:
    if text in ("00", "01"):
        return text == "01"
    if len(text) > 40:
        raise ValueError("an absurdly large integer")
    return int(text.removesuffix("L"))


def _quoted(name: str) -> str:
    """A name from the file, safe to print: no control characters, at most 80 of them."""
    return ascii(name if len(name) <= 80 else name[:77] + "...")


def load(data: bytes, where: str) -> object:
    """Objects of the stream: dict, list, tuple, text, numbers, `View`, `Storage`, `Global`.

    Args:
        data: the whole stream, as in the archive's `data.pkl`.
        where: the file, for messages.

    Raises:
        CheckpointError: a name outside `ALLOWED`, a malformed or a truncated stream.
    """
    machine = _Machine(data, where)
    try:
        return machine.run()
    except (ValueError, IndexError, KeyError, TypeError, struct.error, OverflowError) as error:
        stated = type(error) is ValueError
        reason = str(error)[:120] if stated else "its opcodes do not fit together"
        raise CheckpointError(
            f"the object stream cannot be read at byte {machine.at}: {reason}", where=where,
            fix="the file is damaged or was made to do harm; fetch it again from its source",
        ) from error
