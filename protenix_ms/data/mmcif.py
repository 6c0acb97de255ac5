# SPDX-License-Identifier: Apache-2.0
"""An mmCIF file as deposited: its atoms, sequences, assemblies and facts of the experiment."""

from __future__ import annotations

import codecs
import datetime
import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from protenix_ms.errors import InputError
from protenix_ms.typing import Array, Float, Int, Shaped

MAX_COORDINATE = 1e6  # angstrom; what is farther away is no place
MAX_POLYMER_CHAINS = 1000  # of an assembly, as upstream
MAX_ASSEMBLY_ATOMS = 10_000_000
UNKNOWN_TYPE = "missing"  # of a polymer without `_entity_poly`, as upstream
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


def read_mmcif(path: Path, *, assembly: bool = True) -> Deposit:
    """Read a (gzipped) mmCIF file.

    Args:
        assembly: read assembly 1; off, `Deposit.assembly` is None.

    Raises:
        InputError: not an mmCIF file, one without atoms, or an assembly too large to build.
    """
    try:
        document = gemmi.cif.read_string(_content(path))
        if not len(document):
            raise InputError("the file holds no mmCIF data", where=str(path),
                             fix="give a structure file")
        block = document.sole_block()
    except (OSError, EOFError, zlib.error, ValueError, RuntimeError) as error:
        raise InputError("this is not a readable mmCIF file", where=f"{path} ({error})",
                         fix="check the file") from None
    try:
        return _deposit(block, path, assembly)
    except (KeyError, ValueError) as error:
        raise InputError("a category lacks an item or holds text for a number",
                         where=f"{path} ({error})", fix="check the file") from None


def require_file(path: Path) -> None:
    """Raise InputError for what is no file: a dangling link, a folder, a device."""
    if path.is_file():
        return
    if path.is_dir():
        reason = "this is a folder, not a file"
    elif path.is_symlink() and not path.exists():
        reason = "this is a link to nothing"
    else:
        reason = "this is no regular file" if path.exists() else "there is no such file"
    raise InputError(reason, where=str(path), fix="give a structure file")


def _content(path: Path) -> bytes:
    """What the file says in UTF-8: decompressed, without a byte order mark."""
    require_file(path)
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = content.decode("utf-16").encode()
    return content.removeprefix(codecs.BOM_UTF8)


def _deposit(block: gemmi.cif.Block, path: Path, assembly: bool) -> Deposit:
    sites = _first_model(_columns(block, "atom_site"))
    if not sites:
        raise InputError("the file has no atoms", where=str(path), fix="give a structure file")
    polymers = _polymers(block)
    return Deposit(
        name=(_first(block, "entry", "id") or path.name.split(".")[0]).lower(),
        release_date=_release_date(block),
        resolution=_resolution(block),
        methods=frozenset(_category(block, "exptl").get("method", [])),
        polymers=polymers,
        sequences=_sequences(block),
        assembly=_assembly(block, path, sites, set(polymers)) if assembly else None,
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
    return dict.fromkeys(_category(block, "entity_poly_seq").get("entity_id", []), UNKNOWN_TYPE)


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


def _assembly(
    block: gemmi.cif.Block, path: Path, sites: dict[str, Array], polymers: set[str]
) -> tuple[AssemblyPart, ...] | None:
    """Lines of assembly 1; how much they make is counted before anything is expanded."""
    lines = _category(block, "pdbx_struct_assembly_gen")
    matrices = _operators(block)
    if not lines or not matrices:
        return None
    own = [
        (expression, tuple(chains.split(",")))
        for number, expression, chains in zip(
            lines["assembly_id"], lines["oper_expression"], lines["asym_id_list"])
        if number == "1"
    ]  # fmt: skip
    _require_buildable([(_copies(text), chains) for text, chains in own], sites, polymers, path)
    return tuple(
        AssemblyPart(chains, np.stack([_product(steps, matrices, path) for steps in _steps(text)]))
        for text, chains in own
    )


def _require_buildable(
    parts: list[tuple[int, tuple[str, ...]]],
    sites: dict[str, Array],
    polymers: set[str],
    path: Path,
) -> None:
    """Refuse an assembly of over a thousand polymer chains, or of more atoms than fit.

    Args:
        parts: copies, and the chains that are copied.
    """
    unknown = np.full(len(next(iter(sites.values()))), "?")
    names, first, size = np.unique(
        sites.get("label_asym_id", unknown), return_index=True, return_counts=True)
    entity = sites.get("label_entity_id", unknown)[first]
    atoms = dict(zip(names.tolist(), size.tolist()))
    # without entity tables every chain may be a polymer
    polymer = set(names[np.isin(entity, list(polymers))].tolist() if polymers else names.tolist())
    chains = sum(copies * len(polymer & set(own)) for copies, own in parts)
    total = sum(copies * sum(atoms.get(name, 0) for name in set(own)) for copies, own in parts)
    most = sum(copies for copies, _ in parts)
    if chains > MAX_POLYMER_CHAINS or total > MAX_ASSEMBLY_ATOMS or most > MAX_ASSEMBLY_ATOMS:
        raise InputError(
            f"assembly 1 has {chains} polymer chains and {total} atoms in {most} copies, at most "
            f"{MAX_POLYMER_CHAINS} chains and {MAX_ASSEMBLY_ATOMS} atoms can be built",
            where=str(path), fix="correct _pdbx_struct_assembly_gen, or leave out the assembly",
        )


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


Group = list[str | range]  # names of operations, ranges of numbers not yet written out


def _groups(expression: str) -> list[Group]:
    """"(1-2)(X0)" -> [[range(1, 3)], ["X0"]]; a ValueError for what is no expression."""
    found = []
    for text in [g for g in expression.replace(")", "").split("(") if g]:
        group: Group = []
        for item in text.split(","):
            first, dash, last = item.partition("-")
            group.append(range(int(first), int(last) + 1) if dash else item)
        if not all(group):
            raise ValueError(f"oper_expression {expression[:80]!r}")
        found.append(group)
    return found


def _copies(expression: str) -> int:
    """How many motions an expression makes; `len` of a range would stop at 2**63."""
    return math.prod(
        sum(item.stop - item.start if isinstance(item, range) else 1 for item in group)
        for group in _groups(expression)
    )


def _steps(expression: str) -> list[tuple[str, ...]]:
    """"(1-2)(X0)" -> [("1", "X0"), ("2", "X0")]; the last group runs slowest, as upstream."""
    combined: list[tuple[str, ...]] = [()]
    for group in reversed(_groups(expression)):
        names = [str(i) for item in group for i in (item if isinstance(item, range) else [item])]
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
        if not (np.abs(matrices[name]) <= MAX_COORDINATE).all():  # also False for NaN
            raise InputError(
                f"operation {name} of assembly 1 moves chains by numbers that are not finite",
                where=str(path), fix="check _pdbx_struct_oper_list",
            )
        motion = motion @ matrices[name]
    return motion[:3]
