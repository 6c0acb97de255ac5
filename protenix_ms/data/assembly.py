# SPDX-License-Identifier: Apache-2.0
"""Biological assemblies: operation expressions, and copies of chains.

Expressions are read here and not by gemmi, which forgets all but the first factor of an operation
like "(1-60)(X0)", skips unknown operations, and expands an expression before it can be counted.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from protenix_ms.chem.atom_table import AtomTable, concatenate
from protenix_ms.chem.columns import runs, starts_of_runs
from protenix_ms.typing import Array, Float

MAX_RANGE_TEXT = 1000  # characters of a range of operations; Python refuses to read longer numbers

Operation = list[list[str | range]]  # factors; each lists names and ranges of numbers


@dataclass(frozen=True)
class AssemblyPart:
    """Chains of one line of `_pdbx_struct_assembly_gen`, and the motions that copy them.

    Attributes:
        chains: label chain names.
        motions: 3x4 matrices (rotation, translation in angstrom), one per copy.
    """

    chains: tuple[str, ...]
    motions: Float[Array, "k 3 4"]


def parse_operation(expression: str) -> Operation:
    """Parse "(1-2)(X0)" into [[range(1, 3)], ["X0"]], without writing out the ranges.

    Raises:
        ValueError: this is not an operation expression.
    """
    items = r"(?:\d+-\d+|[^-,()\s]+)"
    text = expression if expression.startswith("(") else f"({expression})"
    if not re.fullmatch(rf"(?:\({items}(?:,{items})*\))+", text.replace(" ", "")):
        raise ValueError(f"oper_expression {expression[:80]!r}")
    factors: Operation = []
    for factor in re.findall(r"\(([^()]*)\)", text.replace(" ", "")):
        factors.append([])
        for item in factor.split(","):
            first, dash, last = item.partition("-")
            if dash and not (len(item) < MAX_RANGE_TEXT and int(first) <= int(last)):
                raise ValueError(f"oper_expression {expression[:80]!r}")
            factors[-1].append(range(int(first), int(last) + 1) if dash else item)
    return factors


def count_motions(operation: Operation) -> int:
    """Count the motions of an operation; `len` of a range would stop at 2**63."""
    return math.prod(
        sum(item.stop - item.start if isinstance(item, range) else 1 for item in factor)
        for factor in operation
    )


def list_motions(operation: Operation) -> list[tuple[str, ...]]:
    """List the operators of every motion; the last factor changes slowest, as upstream."""
    names = [[str(i) for item in factor for i in (item if isinstance(item, range) else [item])]
             for factor in reversed(operation)]
    return [motion[::-1] for motion in itertools.product(*names)]


def build_assembly(atoms: AtomTable, parts: tuple[AssemblyPart, ...] | None) -> AtomTable:
    """Copy chains by symmetry (upstream `expand_assembly`, `unique_chain_and_add_ids`).

    The second copy of chain A is called A.1, the third A.2, and so on. Unresolved atoms stay at
    the origin. Without parts (None) the deposit itself is the assembly.
    """
    copies = [(atoms, 0)] if parts is None else list(_copies(atoms, parts))
    if not copies:
        return atoms[:0]
    table = concatenate([copy for copy, _ in copies])
    starts = starts_of_runs(np.concatenate([np.full(len(copy), i) for copy, i in copies]))
    starts[table.chain_starts()] = True
    seen: Counter[str] = Counter()
    names: list[str] = []
    for rows in runs(starts):
        name = str(table.chain_id[rows.start])
        names += [f"{name}.{seen[name]}" if seen[name] else name] * (rows.stop - rows.start)
        seen[name] += 1
    coord = np.where(table.is_resolved[:, None], table.coord, 0)
    return table.with_columns(chain_id=np.array(names), coord=coord)


def _copies(atoms: AtomTable, parts: tuple[AssemblyPart, ...]) -> Iterator[tuple[AtomTable, int]]:
    """Move the chains of every part; yield each copy with the number of its motion."""
    for part in parts:
        chosen = atoms[np.isin(atoms.chain_id, part.chains)]
        for number, motion in enumerate(part.motions if len(chosen) else ()):
            coord = chosen.coord.astype(np.float64) @ motion[:, :3].T + motion[:, 3]
            yield chosen.with_columns(coord=coord.astype(np.float32)), number
