# SPDX-License-Identifier: Apache-2.0
"""Writes down every call into MindSpore that our code makes, while the CPU computes it."""

from __future__ import annotations

import inspect
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from unittest.mock import patch

import mindspore
from mindspore import Parameter, Tensor, ops
from mindspore._c_expression import Profiler

Signature = tuple[tuple[str, int], ...]
Calls = dict[str, set[Signature]]
"""By name of a call, the types and ranks of the tensors that it was given."""

# Plain Python of MindSpore's, or the shape of a tensor: no operator of a device.
_HOST = {
    "__init__", "__new__", "__repr__", "__str__", "__hash__", "__getattribute__", "__setattr__",
    "__delattr__", "__class__", "__dir__", "__init_subclass__", "__subclasshook__", "__reduce__",
    "__reduce_ex__", "__sizeof__", "__format__", "__getstate__", "__setstate__", "__len__",
    "__doc__", "__module__", "__dict__", "__weakref__", "__deepcopy__", "__getnewargs__",
    "__array__", "__torch_function__", "__contains__",
}
_IN_BF16 = {"Custom", "ops.cast", "Tensor.astype", "Tensor.to"}


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
    """

    def __init__(self) -> None:
        self.calls: Calls = defaultdict(set)
        self._depth = 0

    def wrapped(self, name: str, function: Callable) -> Callable:
        """`function`, recorded as `name`."""

        @wraps(function)
        def call(*arguments, **named):
            if self._depth:
                return function(*arguments, **named)
            self._depth += 1
            try:
                given = list(_tensors((*arguments, *named.values())))
                self.calls[name].add(tuple((str(t.dtype), t.ndim) for t in given))
                low = any(t.dtype == mindspore.bfloat16 for t in given)
                if not low or name in _IN_BF16:
                    return function(*arguments, **named)
                mixed = any(t.dtype == mindspore.float32 for t in given)
                types = mindspore.bfloat16, mindspore.float32
                arguments, values = _cast(arguments, *types), _cast((*named.values(),), *types)
                out = function(*arguments, **dict(zip(named, values)))
                return out if mixed else _cast(out, mindspore.float32, mindspore.bfloat16)
            finally:
                self._depth -= 1

        return call

    def _functions(self) -> Iterator[tuple[object, str, Callable]]:
        """Where to put which wrapper: functions and primitives of `ops`, methods of tensors."""
        seen = set()
        for name, thing in vars(ops).items():
            if inspect.isclass(thing) and issubclass(thing, ops.Primitive):
                for base in thing.__mro__:
                    if "__call__" in vars(base) and base not in seen and base is not object:
                        seen.add(base)
                        yield base, "__call__", self._primitive(vars(base)["__call__"])
            elif callable(thing) and not inspect.isclass(thing) and not name.startswith("_"):
                yield ops, name, self.wrapped(f"ops.{name}", thing)
        for base in (Tensor, Parameter):
            own = vars(base) if base is Parameter else {n: getattr(base, n) for n in dir(base)}
            for name, thing in own.items():
                if callable(thing) and name not in _HOST and inspect.isroutine(thing):
                    kind = inspect.getattr_static(base, name)
                    if not isinstance(kind, staticmethod | classmethod | property):
                        yield base, name, self.wrapped(f"Tensor.{name}", thing)

    def _primitive(self, function: Callable) -> Callable:
        @wraps(function)
        def call(primitive, *arguments, **named):
            name = primitive.name if not isinstance(primitive, ops.Custom) else "Custom"
            return self.wrapped(name, lambda *a, **n: function(primitive, *a, **n))(
                *arguments, **named)

        return call

    @contextmanager
    def recording(self) -> Iterator[Calls]:
        """Record for the block."""
        with ExitStack() as stack:
            for owner, name, function in list(self._functions()):
                stack.enter_context(patch.object(owner, name, function))
            yield self.calls


@contextmanager
def kernels_run(found: set[str]) -> Iterator[None]:
    """Adds to `found` the primitives that ran in the block, gradients included."""
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
                    found.add(whole.partition("-op")[0])
