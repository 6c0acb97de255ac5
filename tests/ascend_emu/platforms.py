# SPDX-License-Identifier: Apache-2.0
"""What the installed MindSpore says it has on Ascend: its docstrings, and names in its libraries."""

from __future__ import annotations

import re
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


def _find(dotted: str) -> object | None:
    """What ``mindspore.<dotted>`` names."""
    found: object | None = mindspore
    for part in dotted.split("."):
        found = getattr(found, part, None)
    return found


def _documented(thing: object, depth: int = 4) -> str:
    text = getattr(thing, "__doc__", None) or ""
    said = _PLATFORMS.search(text)
    if said:
        return said.group(1).replace("`", "")
    other = _ELSEWHERE.search(text)
    return _documented(_find(other.group(1)), depth - 1) if other and depth else ""


@cache
def documented(name: str) -> str:
    """Platforms in the docstring of a call, followed to what it refers to; "" if it names none.

    Args:
        name: ``ops.gather``, ``Tensor.sum``, ``Tensor.__mul__``, or a primitive such as ``MatMul``.
    """
    kind, _, own = name.rpartition(".")
    if kind == "Tensor":
        method = _OPERATORS.get(own, own)
        return _documented(getattr(Tensor, method, None)) or _documented(getattr(ops, method, None))
    return _documented(getattr(ops, own, None)) or _documented(getattr(mint, own, None))


@cache
def _library_names() -> tuple[frozenset[str], frozenset[str]]:
    """Primitives with a class that launches an aclnn operator, and operators with an adapter."""
    launched = (PLUGINS / "libmindspore_ops_ascend.so").read_bytes()
    adapted = (PLUGINS / "ascend" / "libmindspore_ascend_res_manager.so").read_bytes()
    classes = re.findall(rb"N9mindspore6kernel7pyboost\d+(\w+?)AscendE\0", launched)
    adapters = re.findall(rb"OpAdapterINS1_\d+cz(\w+?)EEE\0", adapted)
    return tuple(frozenset(n.decode() for n in names) for names in (classes, adapters))


def registered(primitive: str) -> str:
    """How MindSpore's Ascend libraries serve a primitive: "aclnn", "adapter" or ""."""
    classes, adapters = _library_names()
    return "aclnn" if primitive in classes else "adapter" if primitive in adapters else ""
