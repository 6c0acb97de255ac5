# SPDX-License-Identifier: Apache-2.0
"""Writes down every call into MindSpore that our code makes, while the CPU computes it."""

from __future__ import annotations

import inspect
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from unittest.mock import patch

import mindspore
from mindspore import Parameter, Tensor, ops
from mindspore._c_expression import Profiler

Signature = tuple[tuple[str, int], ...]
"""Types and ranks of the tensors that a call was given."""

# What Python itself calls on any object.
_PYTHON = set(dir(object)) | {
    "__len__", "__contains__", "__deepcopy__", "__setstate__", "__array__", "__bool__", "__index__",
}
_AS_THEY_ARE = {"Custom", "ops.cast", "Tensor.astype", "Tensor.to"}


def _tensors(values: object) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)


def _cast(values: object, low: mindspore.Type, high: mindspore.Type) -> object:
    if isinstance(values, Tensor):
        return values.astype(high) if values.dtype == low else values
    if isinstance(values, tuple | list):
        return type(values)(_cast(value, low, high) for value in values)
    return values


class Recorder:
    """Wraps what our code can call, and counts only calls that do not come from within another.

    The CPU back end multiplies no bf16: such a call is written down as it is and computed in fp32.

    Args:
        limits: by name of a call, whether a device takes these arguments. A primitive is the first
            of its own.

    Attributes:
        calls: signatures by name.
        broken: names of calls that a limit refused.
    """

    def __init__(self, limits: Mapping[str, Callable[..., bool]] | None = None) -> None:
        self.limits = limits or {}
        self.calls: dict[str, set[Signature]] = defaultdict(set)
        self.broken: set[str] = set()
        self._depth = 0

    def wrapped(self, name: str, function: Callable) -> Callable:
        """Wrap `function` so that it is recorded as `name`."""

        @wraps(function)
        def call(*arguments, **named):
            if self._depth:
                return function(*arguments, **named)
            self._depth += 1
            try:
                self._note(name, arguments, named)
                return self._computed(name, function, arguments, named)
            finally:
                self._depth -= 1

        return call

    def _note(self, name: str, arguments: tuple, named: dict) -> None:
        tensors = _tensors((*arguments, *named.values()))
        self.calls[name].add(tuple((str(t.dtype), t.ndim) for t in tensors))
        if name in self.limits and not self.limits[name](*arguments, **named):
            self.broken.add(name)

    def _computed(self, name: str, function: Callable, arguments: tuple, named: dict) -> object:
        types = {t.dtype for t in _tensors((*arguments, *named.values()))}
        if mindspore.bfloat16 not in types or name in _AS_THEY_ARE:
            return function(*arguments, **named)
        up = mindspore.bfloat16, mindspore.float32
        values = _cast(tuple(named.values()), *up)
        out = function(*_cast(arguments, *up), **dict(zip(named, values)))
        mixed = mindspore.float32 in types  # a device promotes
        return out if mixed else _cast(out, mindspore.float32, mindspore.bfloat16)

    def _primitive(self, function: Callable) -> Callable:
        @wraps(function)
        def call(primitive, *arguments, **named):
            name = "Custom" if isinstance(primitive, ops.Custom) else primitive.name
            return self.wrapped(name, function)(primitive, *arguments, **named)

        return call

    def _functions(self) -> Iterator[tuple[object, str, Callable]]:
        """Tell where to put which wrapper: functions and primitives of `ops`, methods of
        tensors."""
        classes = set()
        for name, thing in vars(ops).items():
            if inspect.isclass(thing) and issubclass(thing, ops.Primitive):
                classes |= {c for c in thing.__mro__ if "__call__" in vars(c)}
            elif inspect.isroutine(thing) and not name.startswith("_"):
                yield ops, name, self.wrapped(f"ops.{name}", thing)
        for owner in classes:
            yield owner, "__call__", self._primitive(vars(owner)["__call__"])
        for owner, names in ((Tensor, dir(Tensor)), (Parameter, vars(Parameter))):
            for name in set(names) - _PYTHON:
                thing, kind = getattr(owner, name), inspect.getattr_static(owner, name)
                bound = isinstance(kind, staticmethod | classmethod | property)
                if inspect.isroutine(thing) and not bound:
                    yield owner, name, self.wrapped(f"Tensor.{name}", thing)

    @contextmanager
    def recording(self) -> Iterator[Recorder]:
        """Record for the block."""
        with ExitStack() as stack:
            for owner, name, function in list(self._functions()):
                stack.enter_context(patch.object(owner, name, function))
            yield self


@contextmanager
def kernels_run(names: set[str]) -> Iterator[None]:
    """Add to `names` the primitives that run in the block, gradients included."""
    profiler = Profiler.get_instance("CPU")
    with tempfile.TemporaryDirectory() as folder:
        profiler.init(folder)
        profiler.step_profiling_enable(True)
        profiler.enable_op_time()
        try:
            yield
        finally:
            mindspore.runtime.synchronize()
            profiler.stop()
            for table in Path(folder).rglob("cpu_op_detail_info_*.csv"):
                for line in table.read_text(encoding="utf-8").splitlines()[1:]:
                    _, kernel, _, full = line.split(",")[:4]
                    # what the CPU spells out, a device has as one operator
                    whole = full.split("/")[1].lstrip("_") if full.startswith("Expand/") else kernel
                    names.add(whole.partition("-op")[0])
