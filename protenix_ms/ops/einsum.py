# SPDX-License-Identifier: Apache-2.0
"""Contractions of two tensors as one matrix product each, arranged so that nothing is permuted.

MindSpore has no einsum on CPU, and a physical permute there takes longer than the product that
wants it. The planner sorts axes into batch, free and summed ones and looks at every way to view
the operands as matrices: most layouts need only a transpose flag of the product and reshapes,
which are free. Where none avoids a copy, the least is copied: a small operand is repeated over a
batch axis that it lacks, or a tensor is permuted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from math import inf, prod
from typing import NamedTuple

from mindspore import Tensor, float32, ops

from protenix_ms.ops.native import kernels_serve
from protenix_ms.runtime.gradient import recording
from protenix_ms.typing import Float, Shaped

# Costs beside that of one number written in order, on CPU (scripts/bench/einsum.py).
PERMUTED_NUMBER = 50
ONE_MORE_PRODUCT = 500  # in a batch

_FLAGS = tuple(product((False, True), repeat=2))
_products = {  # by rank
    2: {(a, b): ops.MatMul(transpose_a=a, transpose_b=b) for a, b in _FLAGS},
    3: {(a, b): ops.BatchMatMul(transpose_a=a, transpose_b=b) for a, b in _FLAGS},
}


@dataclass(frozen=True)
class Arrangement:
    """How a tensor is turned into another, step by step; None where there is nothing to do.

    Attributes:
        axes, order: view, and the order in which its axes are laid out anew: a physical permute.
        slots, repeats: view, and how often each of its axes is repeated.
        shape: view at the end.
    """

    axes: tuple[int, ...] | None
    order: tuple[int, ...] | None
    slots: tuple[int, ...] | None
    repeats: tuple[int, ...] | None
    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class Plan:
    """One contraction as a product of matrices.

    Attributes:
        x, y, out: arrangements of the operands before, and of the result after the product.
        swapped: whether y is the left matrix.
        batched: whether it is a batch of products.
        transposes: flags `transpose_a` and `transpose_b` of the product.
    """

    x: Arrangement
    y: Arrangement
    out: Arrangement
    swapped: bool
    batched: bool
    transposes: tuple[bool, bool]

    @property
    def permutes(self) -> int:
        """How many of the three tensors are physically permuted."""
        return sum(part.order is not None for part in (self.x, self.y, self.out))

    def __str__(self) -> str:
        parts = {"x": self.x, "y": self.y, "out": self.out}
        copies = [f"permute {n}" for n, part in parts.items() if part.order is not None]
        copies += [f"repeat {n}" for n, part in parts.items() if part.repeats is not None]
        sides = ["xy"[side] + "^T" * flag for side, flag in
                 zip((self.swapped, not self.swapped), self.transposes)]
        return ", ".join([f"{'batch of ' * self.batched}{' '.join(sides)}", *copies])


class _Terms(NamedTuple):
    """Letters of operands and result, without axes of one element, and extents of all letters."""

    x: str
    y: str
    out: str
    extent: dict[str, int]

    def size(self, letters: str) -> int:
        return prod(self.extent[c] for c in letters)

    def shape(self, letters: str) -> tuple[int, ...]:
        return tuple(self.extent[c] for c in letters)


class _Grouping(NamedTuple):
    """A way to see the operands as batches of matrices: letters of each group, in order."""

    batch: str
    rows: str
    columns: str
    summed: str

    def operand(self, term: str, free: str) -> tuple[str, bool]:
        """Order that the letters of `term` must have; whether the summed ones precede the free."""
        own = "".join(c for c in self.batch if c in term)
        plain, turned = own + free + self.summed, own + self.summed + free
        return (turned, True) if term == turned != plain else (plain, False)

    def result(self, out: str) -> tuple[str, bool]:
        """Letters of the product; whether y is the left matrix, so that columns come first."""
        plain = self.batch + self.rows + self.columns
        turned = self.batch + self.columns + self.rows
        return (turned, True) if out == turned != plain else (plain, False)


def _parsed(equation: str, x: tuple[int, ...], y: tuple[int, ...]) -> _Terms:
    inputs, arrow, out = equation.partition("->")
    names = inputs.split(",")
    if not arrow or len(names) != 2 or not all(map(str.isalpha, "".join((*names, out)))):
        raise ValueError(f"einsum '{equation}': expected two operands and a result, 'ij,jk->ik'")
    extent: dict[str, int] = {}
    for name, shape in zip(names, (x, y)):
        if len(name) != len(shape) or len(set(name)) != len(name):
            raise ValueError(f"einsum '{equation}': '{name}' cannot name the axes of {shape}")
        for c, n in zip(name, shape):
            if 1 not in (n, extent.get(c, 1)) and n != extent[c]:
                raise ValueError(f"einsum '{equation}': axis '{c}' is {extent[c]} and {n}")
            extent[c] = n if n != 1 else extent.get(c, 1)
    if len(set(out)) != len(out) or not set(out) <= set(extent):
        raise ValueError(f"einsum '{equation}': '{out}' repeats an axis or no operand has it")
    own = ["".join(c for c, n in zip(*pair) if n != 1) for pair in zip(names, (x, y))]
    if alone := (set(own[0]) ^ set(own[1])) - set(out):
        raise ValueError(f"einsum '{equation}': axis '{min(alone)}' is in one operand alone")
    return _Terms(*own, "".join(c for c in out if extent[c] != 1), extent)


def _groupings(t: _Terms) -> Iterator[_Grouping]:
    """Every grouping that may need no copy; leading axes of the result may count as batch."""
    def orders(letters: set[str], *terms: str) -> set[str]:
        return {"".join(sorted(letters, key=f"{term}{t.out}".index)) for term in terms}

    shared = set(t.x) & set(t.y)
    for leading in range(len(t.out) + 1):
        batch = shared & set(t.out) | set(t.out[:leading])
        yield from map(_Grouping._make, product(
            sorted(orders(batch, t.out, t.x, t.y)),
            sorted(orders(set(t.x) - shared - batch, t.x, t.out)),
            sorted(orders(set(t.y) - shared - batch, t.y, t.out)),
            sorted(orders(shared - set(t.out), t.x, t.y)),
        ))


def _cost(t: _Terms, g: _Grouping) -> float:
    """Work beside the product itself; infinite if a repeated operand would become the largest."""
    permuted = t.size(t.out) * (g.result(t.out)[0] != t.out)
    repeated = 0
    for term, free in ((t.x, g.rows), (t.y, g.columns)):
        permuted += t.size(term) * (g.operand(term, free)[0] != term)
        lacking = "".join(c for c in g.batch if c not in term)
        repeated += t.size(lacking + term) if lacking else 0
    if repeated > max(map(t.size, t[:3])):
        return inf
    return float(
        PERMUTED_NUMBER * permuted + repeated + ONE_MORE_PRODUCT * (t.size(g.batch) - 1)
    )


def _operand(
    t: _Terms, g: _Grouping, term: str, free: str, given: tuple[int, ...]
) -> tuple[Arrangement, bool]:
    """From an operand to matrices; whether their rows are the summed letters."""
    letters, turned = g.operand(term, free)
    axes, order, slots, repeats = None, None, None, None
    if letters != term:
        axes, order = t.shape(term), tuple(map(term.index, letters))
    inner = (t.size(g.summed), t.size(free)) if turned else (t.size(free), t.size(g.summed))
    if any(c not in term for c in g.batch):
        slots = (*(t.extent[c] if c in term else 1 for c in g.batch), *inner)
        repeats = (*(1 if c in term else t.extent[c] for c in g.batch), 1, 1)
    shape = (t.size(g.batch), *inner) if g.batch else inner
    untouched = order is None and repeats is None and shape == given
    return Arrangement(axes, order, slots, repeats, None if untouched else shape), turned


@lru_cache(maxsize=1024)
def plan(equation: str, x: tuple[int, ...], y: tuple[int, ...]) -> Plan:
    """How `einsum` computes an equation for operands of these shapes.

    Raises:
        ValueError: not two operands and a result; an axis twice in a term, of unequal extents,
            or summed though only one operand has it.
    """
    t = _parsed(equation, x, y)
    g = min(_groupings(t), key=lambda g: _cost(t, g))
    of_x, x_turned = _operand(t, g, t.x, g.rows, x)
    of_y, y_turned = _operand(t, g, t.y, g.columns, y)
    letters, swapped = g.result(t.out)
    axes = order = None
    if letters != t.out:
        axes, order = t.shape(letters), tuple(map(letters.index, t.out))
    final = t.shape(equation.partition("->")[2])
    sides = (t.size(g.columns), t.size(g.rows)) if swapped else (t.size(g.rows), t.size(g.columns))
    made = (t.size(g.batch), *sides) if g.batch else sides
    out = Arrangement(axes, order, None, None, None if order is None and made == final else final)
    # the left matrix is [free, summed] and the right one [summed, free], unless transposed
    flags = (y_turned, not x_turned) if swapped else (x_turned, not y_turned)
    return Plan(of_x, of_y, out, swapped, bool(g.batch), flags)


def _arranged(x: Tensor, how: Arrangement) -> Tensor:
    if how.order is not None:
        x = ops.transpose(ops.reshape(x, how.axes), how.order)
    if how.repeats is not None:
        x = ops.tile(ops.reshape(x, how.slots), how.repeats)
    return x if how.shape is None else ops.reshape(x, how.shape)


@cache
def _kernel_product() -> Callable:
    """The C++ form; importing it needs the compiled library."""
    from protenix_ms.ops.product_cpu import kernel_product

    return kernel_product


@lru_cache(maxsize=0)  # keeps nothing; but a graph calls it while compiling, and does not parse it
def _by_kernel(exact: bool) -> bool:
    """Whether our kernel multiplies: in prediction, so that bytes do not depend on the cores."""
    return exact and kernels_serve() and not recording()


def matrix_product(
    a: Float[Tensor, "*c _ _"], b: Float[Tensor, "*c _ _"], turned_a: bool = False,
    turned_b: bool = False,
) -> Float[Tensor, "*c _ _"]:
    """``a b`` of two matrices or two batches of them; what is turned is transposed first."""
    if _by_kernel(a.dtype == float32 and b.dtype == float32 and a.size > 0 and b.size > 0):
        return _kernel_product()(a, b, turned_a, turned_b)
    return _products[a.ndim][turned_a, turned_b](a, b)


def einsum(
    equation: str, x: Shaped[Tensor, "..."], y: Shaped[Tensor, "..."]
) -> Shaped[Tensor, "..."]:
    """Sum of products over the axes that the result lacks, as one (batched) matrix product.

    Differentiable, in `jit` too. Axes of one element are repeated to fit the other operand's. Where
    bf16 meets fp32, as at the edge of an fp32 island, the product is fp32: Ascend takes one type.

    Args:
        equation: letters of all axes, such as ``"bik,bjk->bij"``.

    Raises:
        ValueError: see `plan`.
    """
    p = plan(equation, x.shape, y.shape)
    if x.dtype != y.dtype:
        x, y = x.astype(float32), y.astype(float32)
    a, b = _arranged(x, p.x), _arranged(y, p.y)
    if p.swapped:
        a, b = b, a
    return _arranged(matrix_product(a, b, *p.transposes), p.out)
