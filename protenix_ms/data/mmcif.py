# SPDX-License-Identifier: Apache-2.0
"""Read an mmCIF file as deposited: atoms, sequences, an assembly, facts of the experiment."""

from __future__ import annotations

import codecs
import datetime
import functools
import gzip
import math
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from protenix_ms.data.assembly import AssemblyPart, count_motions, list_motions, parse_operation
from protenix_ms.errors import InputError
from protenix_ms.typing import Array, Float, Int, Shaped

MAX_COORDINATE = 1e6  # angstrom; larger numbers are not believed
MAX_POLYMER_CHAINS = 1000  # of an assembly, as upstream
MAX_ASSEMBLY_ATOMS = 10_000_000
MAX_MODEL_RATIO = 10  # of the atoms of models; a smaller model is a fault
_ABSENT = (".", "?")
UNKNOWN_TYPE = "missing"  # of a polymer without `_entity_poly`, as upstream
UNKNOWN_RESOLUTION = -1.0
UNKNOWN_DATE = "9999-12-31"
_RESOLUTIONS = (
    ("refine", "ls_d_res_high"),
    ("em_3d_reconstruction", "resolution"),
    ("reflns", "d_resolution_high"),
)

Columns = dict[str, Array]  # of a category


@dataclass(frozen=True)
class Deposit:
    """Contents of an mmCIF file, before any choice is made.

    Attributes:
        name: entry id, else the first part of the file's name.
        release_date: "YYYY-MM-DD".
        resolution: angstrom, -1 unknown.
        methods: `_exptl.method` values.
        polymers: entity -> `_entity_poly.type`.
        sequences: entity -> (positions, component codes), alternatives at one position included.
        assembly: lines of the assembly; None when none is asked for or the file defines none.
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
    sites: Columns
    links: Columns


def read_mmcif(path: Path, *, assembly: str | None = "1") -> Deposit:
    """Read a (gzipped) mmCIF file.

    Args:
        assembly: the assembly to read; None reads none.

    Raises:
        InputError: not an mmCIF file, one without atoms, or an assembly that is unknown or too
            large to build.
    """
    try:
        document = gemmi.cif.read_string(structure_content(path))
        if len(document) != 1:
            count = f"{len(document)} data blocks, not one" if len(document) else "no mmCIF data"
            raise InputError(f"the file holds {count}", where=str(path),
                             fix="give a file of one structure")
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
    """Raise InputError unless the path is a file: not a dangling link, a folder or a device."""
    if path.is_file():
        return
    if path.is_dir():
        reason = "this is a folder, not a file"
    elif path.is_symlink() and not path.exists():
        reason = "this is a link to nothing"
    else:
        reason = "this is not a regular file" if path.exists() else "there is no such file"
    raise InputError(reason, where=str(path), fix="give a structure file")


def structure_content(path: Path) -> bytes:
    """Read the file, decompress it, and convert it to UTF-8 without a byte order mark.

    Raises:
        InputError: not a file.
        OSError, EOFError, ValueError, zlib.error: it cannot be read or decompressed.
    """
    require_file(path)
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = content.decode("utf-16").encode()
    return content.removeprefix(codecs.BOM_UTF8)


def _deposit(block: gemmi.cif.Block, path: Path, assembly: str | None) -> Deposit:
    sites = _columns(block, "atom_site")
    if not sites:
        raise InputError("the file has no atoms", where=str(path), fix="give a structure file")
    sites = _with_entities(_first_model(sites, path), block)
    types, sequence = _columns(block, "entity_poly"), _columns(block, "entity_poly_seq")
    entity = sequence.get("entity_id", np.array([], "U1"))
    polymers = (dict(zip(types["entity_id"].tolist(), types["type"].tolist())) if types
                else dict.fromkeys(entity.tolist(), UNKNOWN_TYPE))
    number = sequence["num"].astype(np.int64) if sequence else np.array([], np.int64)
    counts = _columns(block, "pdbx_struct_assembly")
    count = dict(zip(counts.get("id", []), counts.get("oligomeric_count", []))).get("1", "?")
    sequences = {name: (number[entity == name], sequence["mon_id"][entity == name])
                 for name in dict.fromkeys(entity.tolist())}
    _require_places(sites, sequences, block, path)
    return Deposit(
        name=_first(block, "entry", "id") or path.name.split(".")[0],
        release_date=_release_date(block),
        resolution=_resolution(block),
        methods=frozenset(_columns(block, "exptl").get("method", [])),
        polymers=polymers,
        sequences=sequences,
        assembly=_assembly(block, assembly, path, sites, set(polymers))
        if assembly is not None else None,
        polymer_count=int(count) if count.isdigit() else None,
        sites=sites,
        links=_columns(block, "struct_conn"),
    )


def _first_model(sites: Columns, path: Path) -> Columns:
    """Keep the rows of the first model, to which rows without a model belong.

    Raises:
        InputError: a model is so small that its rows are rather misnumbered.
    """
    model = sites.get("pdbx_PDB_model_num", np.full(len(next(iter(sites.values()))), "?"))
    unknown = np.isin(model, _ABSENT)
    first = model[~unknown][0] if not unknown.all() else "?"
    model = np.where(unknown, first, model)
    size = Counter(model.tolist()).most_common()
    if size[-1][1] * MAX_MODEL_RATIO < size[0][1]:
        raise InputError(
            f"model {size[-1][0][:20]} has {size[-1][1]} atoms, model {size[0][0][:20]} has "
            f"{size[0][1]}", where=str(path), fix="correct _atom_site.pdbx_PDB_model_num")
    return {key: column[model == first] for key, column in sites.items()}


def _with_entities(sites: Columns, block: gemmi.cif.Block) -> Columns:
    """Give rows of an unknown entity that of `_struct_asym`, or of most rows of their chain."""
    if not sites.keys() >= {"label_asym_id", "label_entity_id"}:
        return sites
    chain, entity = sites["label_asym_id"], sites["label_entity_id"].astype(object)
    table, tables = _columns(block, "struct_asym"), _columns(block, "entity")
    own = dict(zip(table.get("id", []), table.get("entity_id", [])))
    unknown = np.isin(entity, _ABSENT)
    if "id" in tables:
        unknown |= ~np.isin(entity, tables["id"].tolist())
    for name in set(chain[unknown].tolist()) - set(_ABSENT):
        rows = chain == name
        most = Counter(entity[rows & ~unknown].tolist()).most_common(1)
        entity[rows & unknown] = own.get(name) or (most[0][0] if most else "?")
    return sites | {"label_entity_id": entity.astype(str)}


def _require_places(
    sites: Columns, sequences: dict[str, tuple[Array, Array]], block: gemmi.cif.Block, path: Path
) -> None:
    """Refuse polymer atoms without a chain, or without a position in the sequence."""
    if not sites.keys() >= {"label_asym_id", "label_entity_id", "label_seq_id"}:
        return
    chain, entity, position = (sites[f"label_{key}_id"] for key in ("asym", "entity", "seq"))
    known = _columns(block, "struct_asym").get("id", chain)
    for name, (numbers_of, _) in sequences.items():
        own = entity == name
        for column, lost in (("asym", np.isin(chain, _ABSENT) | ~np.isin(chain, known)),
                             ("seq", ~np.isin(position, numbers_of.astype(str)))):
            if (own & lost).any():
                value = str(sites[f"label_{column}_id"][own & lost][0])[:20]
                raise InputError(
                    f"{(own & lost).sum()} atoms of polymer {name} have no place in it, the first "
                    f"has label_{column}_id {value}", where=str(path), fix="correct _atom_site")


def _columns(block: gemmi.cif.Block, category: str) -> Columns:
    """Read the columns of a category as text, "?" and "." as written; none if it is absent."""
    mark = {None: "?", False: "."}
    return {key: np.array([mark.get(value, value) for value in column])
            for key, column in block.get_mmcif_category(f"_{category}.").items()}


def numbers(column: Shaped[Array, "r"]) -> Float[Array, "r"]:
    """Read numbers; "1.23(4)", a number with its standard uncertainty, is 1.23.

    Raises:
        ValueError: text that is no number.
    """
    try:
        return column.astype(np.float64)
    except ValueError:
        return np.array([float(re.sub(r"\(\d+\)$", "", text)) for text in column.tolist()])


def _first(block: gemmi.cif.Block, category: str, item: str) -> str:
    value = str(_columns(block, category).get(item, ["?"])[0])
    return "" if value in "?." else value


def _resolution(block: gemmi.cif.Block) -> float:
    for category, item in _RESOLUTIONS:
        try:
            value = float(numbers(np.array([_first(block, category, item) or "nan"]))[0])
        except ValueError:
            continue
        if math.isfinite(value) and value != 0:
            return value
    return UNKNOWN_RESOLUTION


def _release_date(block: gemmi.cif.Block) -> str:
    date = _first(block, "pdbx_audit_revision_history", "revision_date")
    try:
        datetime.date.fromisoformat(date)
    except ValueError:
        return UNKNOWN_DATE
    return date


def _assembly(
    block: gemmi.cif.Block, wanted: str, path: Path, sites: Columns, polymers: set[str]
) -> tuple[AssemblyPart, ...] | None:
    """Read the lines of an assembly; its size is counted before anything is expanded."""
    lines, matrices = _columns(block, "pdbx_struct_assembly_gen"), _operators(block)
    if not lines or not matrices:
        return None
    table = zip(lines["assembly_id"], lines["oper_expression"], lines["asym_id_list"])
    own = [(parse_operation(str(text)), tuple(str(chains).split(",")))
           for number, text, chains in table if number == wanted]
    if not own:
        names = ", ".join(dict.fromkeys(lines["assembly_id"].tolist()))
        raise InputError(f"there is no assembly {wanted[:20]}", where=str(path),
                         fix=f"the file defines {names[:200]}")
    where = f"{path}, assembly {wanted[:20]}"
    _require_buildable([(count_motions(o), chains) for o, chains in own], sites, polymers, where)
    return tuple(
        AssemblyPart(chains, np.stack([_motion(m, matrices, where) for m in list_motions(o)]))
        for o, chains in own
    )


def _require_buildable(
    parts: list[tuple[int, tuple[str, ...]]], sites: Columns, polymers: set[str], where: str
) -> None:
    """Refuse an assembly of over a thousand polymer chains, or of more atoms than fit.

    Args:
        parts: number of copies, and the chains that are copied.
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
            f"it has {chains} polymer chains and {total} atoms in {most} copies, at most "
            f"{MAX_POLYMER_CHAINS} chains and {MAX_ASSEMBLY_ATOMS} atoms can be built",
            where=where, fix="correct _pdbx_struct_assembly_gen, or leave out the assembly",
        )


def _operators(block: gemmi.cif.Block) -> dict[str, Float[Array, "4 4"]]:
    table = _columns(block, "pdbx_struct_oper_list")
    if "id" not in table:
        return {}
    items = [[*(f"matrix[{i}][{j}]" for j in (1, 2, 3)), f"vector[{i}]"] for i in (1, 2, 3)]
    rows = np.array([[numbers(table[item]) for item in row] for row in items])
    matrices = np.tile(np.eye(4), (len(table["id"]), 1, 1))
    matrices[:, :3] = np.moveaxis(rows, -1, 0)
    return dict(zip(table["id"].tolist(), matrices))


def _motion(names: tuple[str, ...], matrices: dict[str, Array], where: str) -> Float[Array, "3 4"]:
    """Multiply operators into the motion that applies the last one first."""
    for name in names:
        if name not in matrices:
            reason = f"it uses an unknown operation {name[:80]}"
        elif not (np.abs(matrices[name]) <= MAX_COORDINATE).all():  # also False for NaN
            reason = f"operation {name[:80]} has numbers that are not finite"
        else:
            continue
        raise InputError(reason, where=where, fix="check _pdbx_struct_oper_list")
    return functools.reduce(np.matmul, [matrices[name] for name in names], np.eye(4))[:3]
