# SPDX-License-Identifier: Apache-2.0
"""Prepared entries that a model is judged by: each once, in the order of their names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from protenix_ms.data.crop import EmptyCropError
from protenix_ms.data.dataset import DataOptions, Drawn, Source, TrainingData
from protenix_ms.data.example import ExampleOptions
from protenix_ms.data.sampling import RowFilter
from protenix_ms.errors import ProtenixError

_STREAM = 2  # keeps the crops apart from everything that training draws


class HeldOut:
    """One example per entry, the same ones at every pass.

    Args:
        folder: what `prepare-data` wrote, of entries that training does not see.
        options: how examples are made. A crop lies around the entry's first chain.
        most: examples at most, spread over the names; 0 for all.
        use_rna_msa: off, alignments of RNA are ignored.

    Raises:
        InputError: the folder holds no prepared data.
    """

    def __init__(
        self, folder: Path, options: ExampleOptions, most: int = 0, use_rna_msa: bool = True
    ) -> None:
        source = Source(folder, rows=RowFilter(without_types=()), weighting=None, example=options)
        self._data = TrainingData(DataOptions((source,), use_rna_msa=use_rna_msa))
        first: dict[str, int] = {}
        for index, (_, row) in enumerate(self._data.rows):
            first.setdefault(row["pdb_id"], index)
        names = sorted(first)
        if 0 < most < len(names):
            names = [names[i * len(names) // most] for i in range(most)]
        self._rows = [first[name] for name in names]
        self.left_out: list[str] = []

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Drawn]:
        """The examples; why entries gave none stands in `left_out` afterwards."""
        self.left_out = []
        for index in self._rows:
            try:
                yield self._data.example_of(index, np.random.default_rng([index, _STREAM]))
            except (EmptyCropError, ProtenixError) as error:
                self.left_out.append(f"{self._data.rows[index][1]['pdb_id']}: {error}")
