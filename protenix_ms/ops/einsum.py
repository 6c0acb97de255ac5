# SPDX-License-Identifier: Apache-2.0
"""Contractions of two tensors as one matrix product each, arranged so that nothing is permuted.

MindSpore has no einsum on CPU, and a physical permute there takes longer than the product that
wants it. The planner sorts axes into batch, free and summed ones and looks at every way to view
the operands as matrices: most layouts need only a transpose flag of the product and reshapes,
which are free. Where none avoids a copy, the least is copied: a small operand is repeated over a
batch axis that it lacks, or a tensor is permuted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import inf, prod
from typing import NamedTuple

from mindspore import Tensor, float32, ops

from protenix_ms.ops.kernels import PRODUCTS, operator, pays, settings
from protenix_ms.typing import Float, Shaped

# Costs beside that of one number written in order, on CPU.
PERMUTED_NUMBER = 50
ONE_MORE_PRODUCT = 500  # in a batch

_products = {
    rank: {(a, b): matmul(transpose_a=a, transpose_b=b) for a, b in PRODUCTS}
    for rank, matmul in ((2, ops.MatMul), (3, ops.BatchMatMul))
}

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Arrangement:
    """The steps that turn a tensor into another; None where there is nothing to do.

    Attributes:
        axes, order: view, and the order in which its axes are laid out anew: a physical permute.
        slots, repeats: view, and how often each of its axes is repeated.
        shape: view at the end.
    """

    axes: Shape | None
    order: Shape | None
    slots: Shape | None
    repeats: Shape | None
    shape: Shape | None


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
        return str(self).count("permute")

    def __str__(self) -> str:
        parts = {"x": self.x, "y": self.y, "out": self.out}
        copies = [f"permute {n}" for n, part in parts.items() if part.order is not None]
        copies += [f"repeat {n}" for n, part in parts.items() if part.repeats is not None]
        sides = ["xy"[side] + "^T" * flag for side, flag in
                 zip((self.swapped, not self.swapped), self.transposes)]
        return ", ".join([f"{'batch of ' * self.batched}{' '.join(sides)}", *copies])


class _Grouping(NamedTuple):
    """A way to view the tensors as batches of matrices: letters of each group, in order."""

    batch: str
    rows: str
    columns: str
    summed: str

    def matrices(self) -> tuple[tuple[str, str], ...]:
        """Letters of the two axes of x, y and the result."""
        return (self.rows, self.summed), (self.columns, self.summed), (self.rows, self.columns)

    def layouts(self, terms: tuple[str, ...]) -> list[tuple[str, bool]]:
        """The letters of x, y and the result in the order to have; whether axes change places."""
        layouts = []
        for term, (first, last) in zip(terms, self.matrices()):
            own = "".join(c for c in self.batch if c in term)
            plain, turned = own + first + last, own + last + first
            layouts.append((turned, True) if term == turned != plain else (plain, False))
        return layouts


class _Contraction:
    """An equation and the extents of its letters; its terms lack the axes of one element."""

    def __init__(self, equation: str, x: Shape, y: Shape) -> None:
        inputs, arrow, out = equation.partition("->")
        names = inputs.split(",")
        if not arrow or len(names) != 2 or not all(map(str.isalpha, "".join((*names, out)))):
            raise ValueError(f"einsum '{equation}': need two operands and a result, 'ij,jk->ik'")
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
        self.extent, self.shapes = extent, (x, y, tuple(extent[c] for c in out))
        self.terms = tuple("".join(c for c, n in zip(name, shape) if n != 1)
                           for name, shape in zip((*names, out), self.shapes))
        if alone := (set(self.terms[0]) ^ set(self.terms[1])) - set(out):
            raise ValueError(f"einsum '{equation}': axis '{min(alone)}' is in one operand alone")

    def shape(self, letters: str) -> Shape:
        return tuple(self.extent[c] for c in letters)

    def size(self, letters: str) -> int:
        return prod(self.shape(letters))

    def groupings(self) -> Iterator[_Grouping]:
        """Every grouping that may need no copy; leading axes of the result may count as batch."""
        x, y, out = self.terms

        def orders(letters: set[str], *terms: str) -> list[str]:
            return sorted({"".join(sorted(letters, key=f"{term}{out}".index)) for term in terms})

        shared = set(x) & set(y)
        for leading in range(len(out) + 1):
            batch = shared & set(out) | set(out[:leading])
            yield from map(_Grouping._make, product(
                orders(batch, out, x, y), orders(set(x) - shared - batch, x, out),
                orders(set(y) - shared - batch, y, out), orders(shared - set(out), x, y),
            ))

    def cost(self, g: _Grouping) -> float:
        """Work beside the product; infinite if a repeated operand would become the largest."""
        permuted = sum(self.size(term) for term, (letters, _) in
                       zip(self.terms, g.layouts(self.terms)) if letters != term)
        repeated = sum(self.size("".join({*g.batch, *term}))
                       for term in self.terms[:2] if not set(g.batch) <= set(term))
        if repeated > max(map(self.size, self.terms)):
            return inf
        return float(PERMUTED_NUMBER * permuted + repeated
                     + ONE_MORE_PRODUCT * (self.size(g.batch) - 1))

    def arrangement(self, g: _Grouping, i: int) -> tuple[Arrangement, bool]:
        """Arrange operand 0 or 1 as matrices, or the product as the result, which is 2.

        Also tell whether the axes of its matrices change places.
        """
        term, (letters, turned) = self.terms[i], g.layouts(self.terms)[i]
        first, last = (term, letters) if i < 2 else (letters, term)
        axes = order = slots = repeats = None
        if first != last:
            axes, order = self.shape(first), tuple(map(first.index, last))
        inner = tuple(map(self.size, g.matrices()[i]))[:: -1 if turned else 1]
        matrices = (self.size(g.batch), *inner) if g.batch else inner
        if not set(g.batch) <= set(term):
            slots = (*(self.extent[c] if c in term else 1 for c in g.batch), *inner)
            repeats = (*(1 if c in term else self.extent[c] for c in g.batch), 1, 1)
        untouched = order is None and repeats is None and matrices == self.shapes[i]
        shape = matrices if i < 2 else self.shapes[i]
        return Arrangement(axes, order, slots, repeats, None if untouched else shape), turned


@lru_cache(maxsize=1024)
def plan(equation: str, x: Shape, y: Shape) -> Plan:
    """Find the way in which `einsum` computes an equation for operands of these shapes.

    Raises:
        ValueError: not two operands and a result; an axis twice in a term, of unequal extents,
            or summed though only one operand has it.
    """
    contraction = _Contraction(equation, x, y)
    g = min(contraction.groupings(), key=contraction.cost)
    (of_x, x_turned), (of_y, y_turned), (out, swapped) = (
        contraction.arrangement(g, i) for i in range(3))
    # the left matrix is [free, summed] and the right one [summed, free], unless transposed
    flags = (y_turned, not x_turned) if swapped else (x_turned, not y_turned)
    return Plan(of_x, of_y, out, swapped, bool(g.batch), flags)


def _arranged(x: Tensor, how: Arrangement) -> Tensor:
    if how.order is not None:
        x = ops.transpose(ops.reshape(x, how.axes), how.order)
    if how.repeats is not None:
        x = ops.tile(ops.reshape(x, how.slots), how.repeats)
    return x if how.shape is None else ops.reshape(x, how.shape)


def matrix_product(
    a: Float[Tensor, "*c _ _"], b: Float[Tensor, "*c _ _"], turned_a: bool = False,
    turned_b: bool = False,
) -> Float[Tensor, "*c _ _"]:
    """Multiply two matrices or two batches of them; a turned one is transposed first.

    On CPU it is our kernel, and so are its gradients: MindSpore's own splits a product by the
    number of cores and sums the edge of a part in another order, which gives other bytes on
    another machine, and between two operators its threads spin on the cores that compute.
    """
    exact = a.dtype == float32 and b.dtype == float32
    if pays("product", min(a.size, b.size), exact, trains=True):
        return operator(PRODUCTS[turned_a, turned_b])(a, b, settings())
    return _products[a.ndim][turned_a, turned_b](a, b)


def einsum(
    equation: str, x: Shaped[Tensor, "..."], y: Shaped[Tensor, "..."]
) -> Shaped[Tensor, "..."]:
    """Sum products over the axes that the result lacks, as one (batched) matrix product.

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
