# SPDX-License-Identifier: Apache-2.0
"""An mmCIF file as deposited: its atoms, sequences, assemblies and facts of the experiment."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from protenix_ms.errors import InputError
from protenix_ms.typing import Array, Float, Int, Shaped

UNKNOWN_RESOLUTION = -1.0
UNKNOWN_DATE = "9999-12-31"
_RESOLUTIONS = (
    ("refine", "ls_d_res_high"),
    ("em_3d_reconstruction", "resolution"),
    ("reflns", "d_resolution_high"),
)

Category = dict[str, list[str]]


@dataclass(frozen=True)
class AssemblyPart:
    """One line of `_pdbx_struct_assembly_gen`: chains, and the motions that copy them.

    Attributes:
        chains: label chain names.
        motions: 3x4 matrices (rotation, translation in angstrom), one per copy.
    """

    chains: tuple[str, ...]
    motions: Float[Array, "k 3 4"]


@dataclass(frozen=True)
class Deposit:
    """What an mmCIF file says, before any choice is made.

    Attributes:
        name: lower-case entry id.
        release_date: "YYYY-MM-DD".
        resolution: angstrom, -1 unknown.
        methods: `_exptl.method` values.
        polymers: entity -> `_entity_poly.type`.
        sequences: entity -> (positions, component codes), alternatives at one position included.
        assembly: lines of assembly 1; None when the file defines no assemblies.
        polymer_count: polymer chains of assembly 1 by `_pdbx_struct_assembly`, None unknown.
        sites: columns of the first model's `_atom_site`, text; "." and "?" as written.
        links: columns of `_struct_conn`.
    """

    name: str
    release_date: str
    resolution: float
    methods: frozenset[str]
    polymers: dict[str, str]
    sequences: dict[str, tuple[Int[Array, "s"], Shaped[Array, "s"]]]
    assembly: tuple[AssemblyPart, ...] | None
    polymer_count: int | None
    sites: dict[str, Shaped[Array, "a"]]
    links: dict[str, Shaped[Array, "l"]]


def read_mmcif(path: Path) -> Deposit:
    """Read a (gzipped) mmCIF file.

    Raises:
        InputError: not an mmCIF file, or one without atoms.
    """
    try:
        block = gemmi.cif.read(str(path)).sole_block()
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError("this is not a readable mmCIF file", where=f"{path} ({error})",
                         fix="check the file") from None
    try:
        return _deposit(block, path)
    except (KeyError, ValueError) as error:
        raise InputError("a category lacks an item or holds text for a number",
                         where=f"{path} ({error})", fix="check the file") from None


def _deposit(block: gemmi.cif.Block, path: Path) -> Deposit:
    sites = _first_model(_columns(block, "atom_site"))
    if not sites:
        raise InputError("the file has no atoms", where=str(path), fix="give a structure file")
    return Deposit(
        name=(_first(block, "entry", "id") or path.name.split(".")[0]).lower(),
        release_date=_release_date(block),
        resolution=_resolution(block),
        methods=frozenset(_category(block, "exptl").get("method", [])),
        polymers=_polymers(block),
        sequences=_sequences(block),
        assembly=_assembly(block, path),
        polymer_count=_polymer_count(block),
        sites=sites,
        links=_columns(block, "struct_conn"),
    )


def _category(block: gemmi.cif.Block, name: str) -> Category:
    """Columns of a category, "?" and "." as written."""
    raw = block.get_mmcif_category(f"_{name}.")
    mark = {None: "?", False: "."}
    return {key: [mark.get(v, v) for v in column] for key, column in raw.items()}


def _columns(block: gemmi.cif.Block, name: str) -> dict[str, Shaped[Array, "r"]]:
    return {key: np.array(column) for key, column in _category(block, name).items()}


def _first(block: gemmi.cif.Block, category: str, item: str) -> str:
    values = _category(block, category).get(item, ["?"])
    return "" if values[0] in "?." else values[0]


def _first_model(sites: dict[str, Array]) -> dict[str, Array]:
    if not sites:
        return {}
    if "pdbx_PDB_model_num" not in sites:
        return sites
    model = sites["pdbx_PDB_model_num"]
    rows = model == model[0]
    return {key: column[rows] for key, column in sites.items()}


def _resolution(block: gemmi.cif.Block) -> float:
    for category, item in _RESOLUTIONS:
        try:
            value = float(_first(block, category, item) or "nan")
        except ValueError:
            continue
        if math.isfinite(value) and value != 0:
            return value
    return UNKNOWN_RESOLUTION


def _release_date(block: gemmi.cif.Block) -> str:
    date = _first(block, "pdbx_audit_revision_history", "revision_date") or UNKNOWN_DATE
    try:
        datetime.date.fromisoformat(date)
    except ValueError:
        return UNKNOWN_DATE
    return date


def _polymers(block: gemmi.cif.Block) -> dict[str, str]:
    table = _category(block, "entity_poly")
    if table:
        return dict(zip(table["entity_id"], table["type"]))
    return dict.fromkeys(_category(block, "entity_poly_seq").get("entity_id", []), "missing")


def _sequences(block: gemmi.cif.Block) -> dict[str, tuple[Array, Array]]:
    table = _columns(block, "entity_poly_seq")
    if not table:
        return {}
    entity, number = table["entity_id"], table["num"].astype(np.int64)
    return {
        name: (number[entity == name], table["mon_id"][entity == name])
        for name in dict.fromkeys(entity.tolist())
    }


def _polymer_count(block: gemmi.cif.Block) -> int | None:
    table = _category(block, "pdbx_struct_assembly")
    counts = dict(zip(table.get("id", []), table.get("oligomeric_count", [])))
    count = counts.get("1", "?")
    return int(count) if count.isdigit() else None


def _assembly(block: gemmi.cif.Block, path: Path) -> tuple[AssemblyPart, ...] | None:
    lines = _category(block, "pdbx_struct_assembly_gen")
    matrices = _operators(block)
    if not lines or not matrices:
        return None
    parts = []
    for number, expression, chains in zip(
        lines["assembly_id"], lines["oper_expression"], lines["asym_id_list"]
    ):
        if number == "1":
            motions = np.stack([_product(steps, matrices, path) for steps in _steps(expression)])
            parts.append(AssemblyPart(tuple(chains.split(",")), motions))
    return tuple(parts)


def _operators(block: gemmi.cif.Block) -> dict[str, Float[Array, "4 4"]]:
    table = _category(block, "pdbx_struct_oper_list")
    operators = {}
    for row, name in enumerate(table.get("id", [])):
        matrix = np.eye(4)
        for i in range(3):
            matrix[i, :3] = [float(table[f"matrix[{i + 1}][{j}]"][row]) for j in (1, 2, 3)]
            matrix[i, 3] = float(table[f"vector[{i + 1}]"][row])
        operators[name] = matrix
    return operators


def _steps(expression: str) -> list[tuple[str, ...]]:
    """"(1-2)(X0)" -> [("1", "X0"), ("2", "X0")]; the last group runs slowest, as upstream."""
    choices = []
    for group in reversed([g for g in expression.replace(")", "").split("(") if g]):
        names: list[str] = []
        for item in group.split(","):
            first, dash, last = item.partition("-")
            names += [str(i) for i in range(int(first), int(last) + 1)] if dash else [item]
        choices.append(names)
    combined: list[tuple[str, ...]] = [()]
    for names in choices:
        combined = [(name, *made) for made in combined for name in names]
    return combined


def _product(steps: tuple[str, ...], matrices: dict[str, Array], path: Path) -> Array:
    """The motion that applies the last step first."""
    motion = np.eye(4)
    for name in steps:
        if name not in matrices:
            raise InputError(
                f"assembly 1 uses an unknown operation {name}", where=str(path),
                fix="check _pdbx_struct_oper_list",
            )
        motion = motion @ matrices[name]
    return motion[:3]
