# SPDX-License-Identifier: Apache-2.0
"""Prepared entries on disk: one compressed npz each, without reference conformers.

The file holds the experiment; conformers, charges and permutations come from the component
dictionary when it is read. Nothing in it is executed.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.data.entry import Entry, with_reference
from protenix_ms.errors import InputError
from protenix_ms.io.atomic import write_npz
from protenix_ms.typing import Array, Shaped

FORMAT = 1
SUFFIX = ".npz"
_OWN = ("atom_name", "element", "res_name", "chain_id", "entity_id", "res_id", "hetero", "coord")
_NOT_KEPT = ("atom_index", "atom_map")
_EXTRA = "extra/"


def write_entry(path: Path, entry: Entry, source: str, rows: list[dict[str, str]]) -> None:
    """Write an entry.

    Args:
        source: digest of the file it was made from.
        rows: its lines of the index (`index.entry_rows`).

    Raises:
        OutputError: the file cannot be written.
    """
    atoms = entry.atoms
    about = {
        "format": FORMAT, "name": entry.name, "release_date": entry.release_date,
        "resolution": entry.resolution, "polymers": entry.polymers,
        "sequences": entry.sequences, "source": source, "rows": rows,
    }  # fmt: skip
    arrays = {"about": np.array(json.dumps(about, ensure_ascii=True).encode())}
    arrays |= {name: _small(getattr(atoms, name)) for name in _OWN}
    arrays["bonds"] = _small(atoms.bonds)
    kept = {name: column for name, column in atoms.extra.items() if name not in _NOT_KEPT}
    write_npz(path, arrays | {_EXTRA + name: _small(column) for name, column in kept.items()})


def read_about(path: Path) -> dict:
    """Facts of a prepared entry (`write_entry`), without its atoms.

    Raises:
        InputError: absent, damaged, or of another format.
    """
    return _about(_read(path, only="about"), path)


def read_prepared(path: Path, ccd: ComponentDictionary) -> Entry:
    """A prepared entry with the dictionary's reference conformers.

    Raises:
        InputError: absent, damaged, or of another format.
        ChemistryError: the dictionary lacks an atom of the entry.
    """
    arrays = _read(path)
    about = _about(arrays, path)
    try:
        columns = {name: _large(arrays[name]) for name in _OWN}
        bonds = arrays["bonds"].astype(np.int32)
    except KeyError as error:
        raise _damaged(path, error) from None
    n = len(columns["atom_name"])
    extra = {
        name.removeprefix(_EXTRA): _large(array)
        for name, array in arrays.items() if name.startswith(_EXTRA)
    }
    atoms = AtomTable(
        **columns, charge=np.zeros(n, np.int64), ref_pos=np.zeros((n, 3), np.float32),
        ref_mask=np.zeros(n, np.int64), bonds=bonds, extra=extra,
    )
    facts = {key: about[key] for key in ("name", "release_date", "resolution", "polymers",
                                         "sequences")}
    return Entry(**facts, atoms=with_reference(atoms, ccd))


def _about(arrays: dict[str, Array], path: Path) -> dict:
    try:
        about = json.loads(bytes(arrays["about"].item()))
    except (KeyError, ValueError) as error:
        raise _damaged(path, error) from None
    if about.get("format") != FORMAT:
        raise InputError(
            f"a prepared entry of format {about.get('format')}, not {FORMAT}", where=str(path),
            fix="prepare the data again with --overwrite",
        )
    return about


def _read(path: Path, only: str | None = None) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in ([only] if only else file.files)}
    except FileNotFoundError:
        raise InputError("there is no such prepared entry", where=str(path),
                         fix="run prepare-data again") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"this prepared entry is damaged ({error})", where=str(path),
                      fix="delete it and run prepare-data again")


def _small(column: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """Text as bytes, integers as narrow as they fit."""
    if column.dtype.kind == "U":
        return np.char.encode(column, "ascii")
    if column.dtype.kind == "i" and column.size:
        low, high = np.min_scalar_type(int(column.min())), np.min_scalar_type(-int(column.max()))
        return column.astype(np.promote_types(np.promote_types(low, high), np.int8))
    return column


def _large(column: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    if column.dtype.kind == "S":
        return np.char.decode(column, "ascii")
    return column.astype(np.int64) if column.dtype.kind == "i" else column
