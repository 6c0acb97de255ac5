# SPDX-License-Identifier: Apache-2.0
"""What the installed MindSpore has on Ascend, by its docstrings and by names in its libraries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import mindspore
from mindspore import Tensor, mint, ops

PLUGINS = Path(mindspore.__file__).parent / "lib" / "plugin"
_PLATFORMS = re.compile(r"Supported Platforms:\s*(``.*)")
_ELSEWHERE = re.compile(
    r"(?:[Rr]efer to|Alias (?:for|of)) :(?:func|class|meth):`mindspore\.([\w.]+)(?:\(\))?`"
)
# Slots of Tensor without a docstring of their own, by the method that they are.
_OPERATORS = {
    "__radd__": "add", "__rmul__": "mul", "__rsub__": "sub", "__rtruediv__": "div",
    "__eq__": "eq", "__ne__": "ne", "__gt__": "gt", "__ge__": "ge", "__lt__": "lt", "__le__": "le",
    "__neg__": "neg", "__invert__": "logical_not", "__and__": "logical_and", "__or__": "logical_or",
    "__truediv__": "div", "__pow__": "pow", "__matmul__": "matmul",
}


def _docstrings(thing: object, depth: int = 4) -> Iterator[str]:
    """Yield the docstring of a call, then of what it refers to."""
    text = getattr(thing, "__doc__", None) or ""
    yield text
    other = _ELSEWHERE.search(text)
    if other and depth:
        value: object = mindspore
        for part in other.group(1).split("."):
            value = getattr(value, part, None)
        yield from _docstrings(value, depth - 1)


def _texts(name: str) -> Iterator[str]:
    kind, _, own = name.rpartition(".")
    own = _OPERATORS.get(own, own)
    for home in (Tensor, ops) if kind == "Tensor" else (ops, mint):
        yield from _docstrings(getattr(home, own, None))


@cache
def documented(name: str) -> str:
    """Return the platforms that the docstring of a call names; "" if it names none.

    Args:
        name: ``ops.gather``, ``Tensor.sum``, ``Tensor.__mul__``, or a primitive such as ``MatMul``.
    """
    said = (match for text in _texts(name) if (match := _PLATFORMS.search(text)))
    return next((match.group(1).replace("`", "") for match in said), "")


@cache
def remarks(name: str) -> tuple[str, ...]:
    """List the sentences of the docstring of a call about Ascend, joined over lines."""
    sentences = []
    for text in _texts(name):
        body = text.partition("Supported Platforms:")[0]
        for paragraph in re.split(r"\n\s*\n|\n\s*- ", body):
            if "Ascend" in paragraph or "Atlas" in paragraph:
                sentences.append(" ".join(paragraph.split()))
        if _PLATFORMS.search(text):
            break
    return tuple(sentences)


@cache
def _library_names() -> tuple[frozenset[str], frozenset[str]]:
    """Read the names of primitives with a class that launches an aclnn operator, and operators
    with an adapter."""
    launched = (PLUGINS / "libmindspore_ops_ascend.so").read_bytes()
    adapted = (PLUGINS / "ascend" / "libmindspore_ascend_res_manager.so").read_bytes()
    classes = re.findall(rb"N9mindspore6kernel7pyboost\d+(\w+?)AscendE\0", launched)
    adapters = re.findall(rb"OpAdapterINS1_\d+cz(\w+?)EEE\0", adapted)
    return tuple(frozenset(n.decode() for n in names) for names in (classes, adapters))


def registered(primitive: str) -> str:
    """Tell how MindSpore's Ascend libraries serve a primitive: "aclnn", "adapter" or ""."""
    classes, adapters = _library_names()
    return "aclnn" if primitive in classes else "adapter" if primitive in adapters else ""
