# SPDX-License-Identifier: Apache-2.0
"""Live parity with upstream: one comparison for every module, forward and gradient.

A case gives our cell, upstream's module, named numpy inputs, and how each side is called with
them. Weights are random, including every layer that upstream initialises to zero, and pass by
name. Error measure everywhere: max|ours - reference| / max|reference|.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from zlib import crc32

import mindspore as ms
import numpy as np
import pytest
from component_cache import upstream_root

from protenix_ms.chem.ccd import ComponentDictionary

os.environ["PROTENIX_ROOT_DIR"] = str(upstream_root())  # upstream reads it at import
torch = pytest.importorskip("torch", reason="parity needs PyTorch (extra `test`)")
pytest.importorskip("protenix", reason="parity needs protenix 2.0.0 (extra `test`)")

SINGLE, STACK, GRADIENT = 1e-5, 1e-4, 1e-4
FLOOR = 2e-6  # MindSpore's own exp and sigmoid are worth about this much


@pytest.fixture(scope="session")
def ccd(golden):
    """Load the shipped component table with upstream's own reference conformers."""
    return ComponentDictionary.load().with_conformers(golden / "conformers.npz")


@contextmanager
def double_precision() -> Iterator[None]:
    """Run upstream in float64: its explicit casts to float32 become casts to float64."""
    saved = torch.float32, torch.float, torch.Tensor.float
    torch.set_default_dtype(torch.float64)
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.float32, torch.float, torch.Tensor.float = saved
        torch.set_default_dtype(torch.float32)


def error(ours: np.ndarray, reference: np.ndarray) -> float:
    """Return max|ours - reference| / max|reference|, singleton axes free."""
    ours, reference = np.squeeze(ours), np.squeeze(reference)
    assert ours.shape == reference.shape, f"shape {ours.shape}, upstream {reference.shape}"
    return float(np.abs(ours - reference).max() / max(np.abs(reference).max(), 1e-30))


def random_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Draw weights whose products stay of order one; nothing is zero."""
    x = np.random.RandomState(crc32(name.encode())).standard_normal(shape).astype(np.float32)
    if len(shape) >= 2:
        return x / np.float32(np.sqrt(shape[-1]))
    return 1 + np.float32(0.1) * x if name.endswith("weight") else np.float32(0.1) * x


def _tuple(x) -> tuple:
    return tuple(x) if isinstance(x, tuple | list) else (x,)


@dataclass
class Comparison:
    """Compares our cell with upstream's module.

    Attributes:
        ours, upstream: both built, any weights.
        inputs: name -> array; floats get gradients, integers and bools do not.
        call_ours, call_upstream: take (module, inputs as tensors) and return one or more tensors;
            by default the module is called with the inputs by name.
        bound: largest error of an output.
        zero_gradients: endings of parameters whose gradient is zero in exact arithmetic (a bias
            that softmax removes); compared absolutely.
        fixed: name -> value of structural constants that must not be randomised.
        gradient: whether to compare gradients.
        training: upstream in training mode, where its forward differs (dropout rates must be 0).
    """

    ours: ms.nn.Cell
    upstream: object
    inputs: Mapping[str, np.ndarray]
    call_ours: Callable = lambda module, x: module(**x)
    call_upstream: Callable = lambda module, x: module(**x)
    bound: float = SINGLE
    zero_gradients: tuple[str, ...] = ()
    fixed: Mapping[str, np.ndarray] = field(default_factory=dict)
    gradient: bool = True
    training: bool = False

    def run(self) -> None:
        """Compare outputs, distance to float64, and gradients."""
        self.upstream.train(self.training)
        weights = self._share_weights()
        single, single_grads = self._run_upstream(weights, torch.float32)
        with double_precision():
            truth, true_grads = self._run_upstream(weights, torch.float64)
        ours, our_grads = self._run_ours(len(truth))
        for i, (mine, theirs, exact) in enumerate(zip(ours, single, truth, strict=True)):
            assert error(mine, theirs) <= self.bound, f"output {i}: {error(mine, theirs):.1e}"
            allowed = max(2 * error(theirs, exact), FLOOR if self.bound <= SINGLE else 1e-5)
            assert error(mine, exact) <= allowed, (
                f"output {i}: {error(mine, exact):.1e} from float64, upstream "
                f"{error(theirs, exact):.1e}"
            )
        if self.gradient:
            assert our_grads.keys() == true_grads.keys()
            scale = max(np.abs(g).max() for g in true_grads.values())
            for name, exact in true_grads.items():
                if name.endswith(self.zero_gradients):
                    assert np.abs(our_grads[name]).max() <= GRADIENT * scale, name
                    continue
                assert np.abs(exact).max() > 1e-12 * scale, f"{name}: gradient is zero"
                assert error(our_grads[name], exact) <= GRADIENT, (
                    f"gradient of {name}: {error(our_grads[name], exact):.1e}"
                )

    def _share_weights(self) -> dict[str, np.ndarray]:
        state = self.upstream.state_dict()
        parameters = dict(self.ours.parameters_and_names())
        assert set(parameters) == set(state), set(parameters) ^ set(state)
        weights = {}
        for name, value in state.items():
            shape = tuple(value.shape)
            assert tuple(parameters[name].shape) == shape, name
            weights[name] = np.asarray(self.fixed.get(name, random_weight(name, shape)), "f4")
            parameters[name].set_data(ms.Tensor(weights[name]))
        return weights

    def _cotangents(self, outputs: int, shapes: list) -> list[np.ndarray]:
        rng = np.random.RandomState(7)
        return [rng.standard_normal(s).astype(np.float32) for s in shapes[:outputs]]

    def _run_upstream(self, weights: Mapping, dtype) -> tuple[list, dict]:
        module = self.upstream.to(dtype)
        module.load_state_dict({n: torch.tensor(w, dtype=dtype) for n, w in weights.items()})
        module.requires_grad_(True)
        module.zero_grad()
        x = {}
        for name, value in self.inputs.items():
            x[name] = torch.tensor(value)
            if x[name].is_floating_point():
                x[name] = x[name].to(dtype).requires_grad_(self.gradient)
        with torch.set_grad_enabled(self.gradient):
            outputs = [o for o in _tuple(self.call_upstream(module, x)) if o is not None]
            grads = {}
            if self.gradient:
                weightings = self._cotangents(len(outputs), [tuple(o.shape) for o in outputs])
                sum((o * torch.tensor(w, dtype=dtype)).sum()
                    for o, w in zip(outputs, weightings)).backward()
                leaves = {**x, **dict(module.named_parameters())}
                grads = {n: v.grad.numpy().copy() for n, v in leaves.items() if v.grad is not None}
        return [o.detach().numpy().copy() for o in outputs], grads

    def _run_ours(self, n_outputs: int) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        x = {n: ms.Tensor(np.asarray(v)) for n, v in self.inputs.items()}
        floats = [n for n, v in self.inputs.items() if v.dtype.kind == "f"]

        def forward(*values):
            return _tuple(self.call_ours(self.ours, {**x, **dict(zip(floats, values))}))

        values = [x[n] for n in floats]
        outputs = [o.asnumpy() for o in forward(*values) if o is not None]
        if not self.gradient:
            return outputs, {}
        weightings = [ms.Tensor(w) for w in
                      self._cotangents(n_outputs, [o.shape for o in outputs])]

        def weighted(*values):
            present = [o for o in forward(*values) if o is not None]
            return sum((o * w).sum() for o, w in zip(present, weightings))

        named = [(n, p) for n, p in self.ours.parameters_and_names() if p.requires_grad]
        weights = [p for _, p in named]
        if floats:
            positions = tuple(range(len(floats)))
            _, partial = ms.value_and_grad(weighted, positions, weights)(*values)
            by_input, by_weight = partial
        else:
            by_input, (_, by_weight) = (), ms.value_and_grad(weighted, None, weights)()
        grads = dict(zip(floats, _tuple(by_input)))
        grads.update({n: g for (n, _), g in zip(named, by_weight)})
        return outputs, {n: g.asnumpy() for n, g in grads.items()}


@pytest.fixture(scope="session")
def compare() -> type[Comparison]:
    """`compare(ours=..., upstream=..., inputs=..., ...).run()`."""
    return Comparison


@pytest.fixture(scope="session")
def upstream() -> Callable[[str], object]:
    """`upstream("modules.pairformer")`: a module of `protenix.model`."""
    return lambda path: importlib.import_module(f"protenix.model.{path}")
