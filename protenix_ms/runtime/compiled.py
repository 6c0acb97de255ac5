# SPDX-License-Identifier: Apache-2.0
"""Compiles the blocks of a stack, into one graph for all blocks of the same shapes.

A graph is recorded from a run of the plain block, with the private classes behind MindSpore's
``jit(capture_mode="trace")``. So Python decides the same as in the plain form (kernels, chunks,
threads), and no parser has to read the model. ``jit`` itself would format every argument for a
log at each call, 0.6 ms a weight, and take parameters as constants, so that each block needed a
graph of its own. Here weights are inputs of the graph.

Not verified on Ascend.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from itertools import count
from typing import NamedTuple

from mindspore import Tensor, nn
from mindspore._c_expression import TraceRecorder
from mindspore.graph.api import _convert_python_data
from mindspore.graph.jit_config import _DEFAULT_JIT_CONFIG
from mindspore.graph.jit_context import set_jit_context
from mindspore.graph.jit_trace import TraceJitContext, _convert_arg_for_operators

from protenix_ms.runtime.gradient import recording
from protenix_ms.runtime.policy import policy
from protenix_ms.runtime.recompute import recomputed

_HERE = ([__file__], [1])  # source of every node; MindSpore would read that of the whole stack
_names = (f"protenix_ms.compiled.{i}" for i in count())
_log = logging.getLogger(__name__)


class _Recording(TraceJitContext):
    """Records operators as MindSpore does, without its logs and its search for source lines."""

    def args_preprocess(self, prim_name, prim_res, *args):
        return (prim_res, *_HERE, tuple(_convert_arg_for_operators(x, prim_name) for x in args))

    def prepare_op(self, prim_name, prim_res, *args):
        return self.args_preprocess(prim_name, prim_res, *args)

    def run_op(self, prim, prim_res, *args):
        result, *place, args = self.args_preprocess(prim.name, prim_res, *args)
        TraceRecorder.get_instance().new_node(prim, (result, *place, False), *args)
        return result


def compiling(module: nn.Cell) -> bool:
    """Tell whether blocks of `module` run as graphs: by the policy, and never for a gradient."""
    return policy().compiles and not module.training and not recording()


class _Graph(NamedTuple):
    """A compiled graph.

    Attributes:
        name: of the graph in MindSpore.
        absent: which outputs of the block are None; None for an output that is no tuple.
    """

    name: str
    absent: tuple[bool, ...] | None

    def run(self, arguments: tuple[Tensor, ...]) -> object:
        outputs = _convert_python_data(
            TraceRecorder.get_instance().run_graph(self.name, _DEFAULT_JIT_CONFIG, arguments))
        if self.absent is None:
            return outputs
        rest = iter(outputs if isinstance(outputs, tuple) else (outputs,))
        return tuple(None if absent else next(rest) for absent in self.absent)


class CompiledBlocks:
    """Runs blocks that are alike but for their weights.

    Inputs are tensors, or hashable objects and None, which are constants of a graph. Each policy,
    each set of shapes and of constants has a graph of its own, which is logged when it is compiled
    and kept as long as the process lives.
    """

    def __init__(self) -> None:
        self._graphs: dict[Hashable, _Graph] = {}
        self._places: dict[nn.Cell, list[tuple[nn.Cell, str]]] = {}

    def __len__(self) -> int:
        """Count the compiled graphs."""
        return len(self._graphs)

    def __call__(self, block: nn.Cell, *inputs: Tensor | Hashable) -> object:
        """Call ``block(*inputs)``, as a graph if `compiling`; by `recomputed` in training."""
        if not compiling(block):
            return recomputed(block, *inputs)
        weights = [Tensor(getattr(cell, name)) for cell, name in self._parameters(block)]
        tensors = [x for x in inputs if isinstance(x, Tensor)]
        key = self._key(block, inputs)
        if key not in self._graphs:
            shapes = ", ".join(str(x.shape) for x in tensors)
            _log.info("compiling %s for %s", type(block).__name__, shapes)
            self._graphs[key] = self._compile(block, inputs, [*tensors, *weights])
        return self._graphs[key].run((*tensors, *weights))

    def _parameters(self, block: nn.Cell) -> list[tuple[nn.Cell, str]]:
        """List the module and attribute of each parameter of the block."""
        if block not in self._places:
            self._places[block] = [
                (cell, name) for _, cell in block.cells_and_names()
                for name, value in cell.parameters_and_names(expand=False)
            ]
        return self._places[block]

    def _key(self, block: nn.Cell, inputs: tuple[Tensor | Hashable, ...]) -> Hashable:
        """Collect everything that a graph depends on beside the values of tensors."""
        low = policy().dtype == "bf16" and tuple(
            getattr(cell, "bf16", False) for _, cell in block.cells_and_names()
        )
        shapes = tuple((x.shape, x.dtype) if isinstance(x, Tensor) else x for x in inputs)
        return policy(), low, shapes

    def _compile(
        self, block: nn.Cell, inputs: tuple[Tensor | Hashable, ...], arguments: list[Tensor],
    ) -> _Graph:
        """Record a run of the block; `arguments` end with tensors that stand for its weights."""
        name, recorder = next(_names), TraceRecorder.get_instance()
        places = self._parameters(block)
        for (cell, attribute), weight in zip(places, arguments[-len(places) :], strict=True):
            vars(cell)[attribute] = weight  # hides the parameter
        set_jit_context(_Recording())
        try:
            recorder.begin_graph(type(block).__name__, name, *_HERE, *arguments)
            outputs = arguments[:1]  # a recording must end, also after an error
            try:
                outputs = block(*inputs)
            finally:
                kept = outputs if isinstance(outputs, tuple | list) else [outputs]
                recorder.end_graph(
                    *_HERE, _DEFAULT_JIT_CONFIG, *(x for x in kept if x is not None))
        finally:
            set_jit_context(None)
            for cell, attribute in places:
                del vars(cell)[attribute]
        several = isinstance(outputs, tuple)
        return _Graph(name, tuple(x is None for x in outputs) if several else None)
