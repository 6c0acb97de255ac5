# SPDX-License-Identifier: Apache-2.0
"""Confidence files: upstream's summary JSON, the full data as npz, the ranking table."""

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


def plain(value: object) -> object:
    """`value` as JSON knows it; numbers in the fewest digits that name the same float32."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(str(np.float32(value)))
    return value


def write_summary(path: Path, summary: Mapping[str, object]) -> None:
    """Upstream's `*_summary_confidence_sample_*.json`: the same keys and layout."""
    write_text(path, json.dumps(plain(summary), indent=4) + "\n")


def write_full_data(path: Path, arrays: Mapping[str, Array]) -> None:
    """Upstream's full data as npz, unrounded: the arrays of `FULL_DATA` (errors in angstrom)."""
    write_npz(path, {key: arrays[key] for key in FULL_DATA})


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """A CSV table with a head line; numbers as in the JSON files."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: plain(row[column]) for column in columns} for row in rows)
    write_text(path, text.getvalue())
