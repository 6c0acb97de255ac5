# SPDX-License-Identifier: Apache-2.0
"""Confidence files: the summary JSON, the full data as npz and JSON, the ranking table.

JSON is strict: what is not a finite number is null.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from protenix_ms.io.atomic import write_npz, write_text
from protenix_ms.typing import Array

FULL_DATA = (
    "atom_plddt", "token_pair_pae", "token_pair_pde", "contact_probs", "token_asym_id",
    "token_has_frame", "atom_to_token_idx",
)
FULL_DATA_CHOICES = ("auto", "npz", "json", "both", "none")
JSON_TOKENS = 1500  # three matrices of two decimals take about 17 bytes a pair of tokens


def choose_suffixes(choice: str, n_token: int) -> tuple[str, ...]:
    """Choose the forms of the full data of a sample, one of `FULL_DATA_CHOICES`, as suffixes.

    "auto" is npz, and JSON up to `JSON_TOKENS` tokens.
    """
    if choice == "auto":
        choice = "both" if n_token <= JSON_TOKENS else "npz"
    return {"npz": (".npz",), "json": (".json",), "both": (".npz", ".json"), "none": ()}[choice]


def plain(value: object) -> object:
    """Turn `value` into what JSON has; numbers in the fewest digits that name the same float32.

    NaN and infinity, which JSON does not have, become None.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        number = np.float32(value)
        return float(str(number)) if np.isfinite(number) else None
    return value


def write_summary(path: Path, summary: Mapping[str, object]) -> None:
    """Write `*_summary_confidence_sample_*.json`: upstream's keys and layout, then the interfaces.

    Two scales stand in one file, as upstream has it: `plddt` of the complex is 0-100, while
    `chain_plddt` and `chain_pair_plddt` are 0-1. Errors are in angstrom.
    A score that does not exist, as the ipSAE of a ligand, is null.
    """
    write_text(path, json.dumps(plain(summary), indent=4, allow_nan=False) + "\n")


def write_full_data(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write the arrays of `FULL_DATA` in the form that the suffix of `path` names.

    ``.npz`` holds them unrounded. ``.json`` is upstream's file, which other programs read: the
    same keys, numbers rounded to two decimals (written as such, where upstream writes all digits
    of the float32), flags as 0 and 1. Errors in angstrom, pLDDT 0-1.
    """
    chosen = {key: arrays[key] for key in FULL_DATA}
    if path.suffix == ".npz":
        write_npz(path, chosen)
        return
    members = [f'"{key}":{encode(array)}' for key, array in chosen.items()]
    write_text(path, "{" + ",".join(members) + "}")


def encode(array: Array) -> str:
    """Write an array as JSON: two decimals, rounded in its own precision as upstream does.

    Flags are 0 and 1.
    """
    if array.ndim > 1:  # row by row: lists of Python numbers take six times the space
        return "[" + ",".join(map(encode, array)) + "]"
    if array.dtype.kind == "f":
        # in float64 the two decimals are also the shortest text of the number
        values = np.round(np.round(array, 2).astype(np.float64), 2)
        if not (finite := np.isfinite(values)).all():
            values = values.astype(object)
            values[~finite] = None
    else:
        values = array.astype(np.int64)
    return json.dumps(values.tolist(), separators=(",", ":"), allow_nan=False)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a CSV table with a head line; numbers as in the JSON files."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: plain(row[column]) for column in columns} for row in rows)
    write_text(path, text.getvalue())
