# SPDX-License-Identifier: Apache-2.0
"""Prepared data as an endless sequence of examples: the n-th one is always the same."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.data.alignments import Alignments
from protenix_ms.data.crop import EmptyCropError
from protenix_ms.data.entry import Entry
from protenix_ms.data.example import ExampleOptions, TrainingExample, training_example
from protenix_ms.data.index import Row, read_index
from protenix_ms.data.preparation import ENTRIES, INDEX, read_alignments
from protenix_ms.data.sampling import RowFilter, Weighting, epoch_order, row_weights
from protenix_ms.data.store import SUFFIX, read_prepared
from protenix_ms.data.symmetry import Symmetries
from protenix_ms.errors import InputError, ProtenixError
from protenix_ms.typing import Array, Float

ATTEMPTS = 10  # rows tried for one example, as upstream
_CACHED_ENTRIES = 16
_EXAMPLE_STREAM = 1  # keeps the draws of examples apart from those of the order


@dataclass(frozen=True)
class Source:
    """One prepared folder and how to use it.

    Attributes:
        folder: what `prepare-data` wrote.
        share: part of the examples that come from here, relative to other sources.
        rows: which lines of the index take part.
        weighting: of lines; None draws all alike.
        example: how examples are made.
    """

    folder: Path
    share: float = 1.0
    rows: RowFilter = field(default_factory=RowFilter)
    weighting: Weighting | None = field(default_factory=Weighting)
    example: ExampleOptions = field(default_factory=ExampleOptions)


@dataclass(frozen=True)
class DataOptions:
    """Everything that decides which example comes at which position.

    Attributes:
        sources: prepared folders.
        seed: of the order and of every example.
        epoch_size: examples of all ranks in one epoch (upstream 10 000).
        rank, ranks: this process among those that train together.
        use_rna_msa: off, alignments of RNA are ignored.
        ccd, conformers: component table and conformers, None for the shipped ones.
    """

    sources: tuple[Source, ...]
    seed: int = 42
    epoch_size: int = 10_000
    rank: int = 0
    ranks: int = 1
    use_rna_msa: bool = True
    ccd: Path | None = None
    conformers: Path | None = None

    def place(self, position: int) -> tuple[int, int]:
        """Epoch of this rank's `position`, and place in the epoch's common order."""
        per_epoch = max(1, self.epoch_size // self.ranks)
        epoch, step = divmod(position, per_epoch)
        return epoch, step * self.ranks + self.rank


@dataclass(frozen=True)
class Drawn:
    """An example, the line of the index it is of, and why lines drawn before it gave none."""

    row: Row
    example: TrainingExample
    skipped: tuple[str, ...] = ()


class TrainingData:
    """Examples by position. Order and content follow from the options alone.

    The order does not depend on the number of ranks: rank r of R has the places r, R + r, ... of
    the order that one process alone would walk through.
    """

    def __init__(self, options: DataOptions) -> None:
        self.options = options
        table = ComponentDictionary.load(options.ccd)
        self._ccd = table.with_conformers(options.conformers) if options.conformers else table
        self._symmetries = Symmetries(self._ccd)
        self.rows: list[tuple[int, Row]] = []
        weights = []
        for number, source in enumerate(options.sources):
            rows, weight = _rows_of(source)
            self.rows += [(number, row) for row in rows]
            weights.append(source.share * weight / weight.sum())
        self.weights: Float[Array, "r"] = np.concatenate(weights or [np.zeros(0)])
        self._alignments = [
            Alignments(files, options.use_rna_msa) if files else None
            for files in (read_alignments(source.folder) for source in options.sources)
        ]
        self._entries: OrderedDict[Path, Entry] = OrderedDict()
        self._orders: dict[int, Array] = {}

    def example(self, position: int) -> Drawn:
        """The example at a position of this rank.

        A line that gives no example (nothing resolved in the crop, a damaged file) is replaced by
        another one, drawn at random, up to ten times.

        Raises:
            InputError: ten lines in a row gave none.
        """
        epoch, place = self.options.place(position)
        rng = np.random.default_rng([self.options.seed, epoch, place, _EXAMPLE_STREAM])
        index = int(self._order(epoch)[place])
        reasons: list[str] = []
        for _ in range(ATTEMPTS):
            number, row = self.rows[index]
            try:
                return Drawn(row, self._example(number, row, rng), tuple(reasons))
            except (EmptyCropError, ProtenixError) as error:
                reasons.append(f"{row['pdb_id']}: {error}")
            index = int(rng.integers(len(self.rows)))
        raise InputError(
            f"{ATTEMPTS} lines of the index gave no example (last: {reasons[-1]})",
            where=str(self.options.sources[0].folder), fix="check the prepared data",
        )

    def example_of(self, index: int, rng: np.random.Generator) -> Drawn:
        """An example of line `index` of `rows`.

        Raises:
            EmptyCropError, ProtenixError: this line gives none.
        """
        number, row = self.rows[index]
        return Drawn(row, self._example(number, row, rng))

    def _order(self, epoch: int) -> Array:
        if epoch not in self._orders:
            size, seed = self.options.epoch_size, self.options.seed
            self._orders = {epoch: epoch_order(self.weights, size, seed, epoch)}
        return self._orders[epoch]

    def _example(self, number: int, row: Row, rng: np.random.Generator) -> TrainingExample:
        source = self.options.sources[number]
        entry = self._entry(source.folder / ENTRIES / f"{row['pdb_id']}{SUFFIX}")
        return training_example(entry, chains_of(row), rng, source.example, self._symmetries,
                                self._alignments[number])

    def _entry(self, path: Path) -> Entry:
        if path not in self._entries:
            self._entries[path] = read_prepared(path, self._ccd)
        self._entries.move_to_end(path)
        while len(self._entries) > _CACHED_ENTRIES:
            self._entries.popitem(last=False)
        return self._entries[path]


def chains_of(row: Row) -> Sequence[str]:
    """Names of the chain or of the two chains that a line of the index is about."""
    names = [row["chain_1_id"], row["chain_2_id"]]
    return names[:1] if row["type"] == "chain" else names


def _rows_of(source: Source) -> tuple[list[Row], Float[Array, "_"]]:
    path = source.folder / INDEX
    rows = [row for row in read_index(path) if source.rows.keeps(row)]
    if not rows:
        raise InputError("no line of the index passes the filters", where=str(path),
                         fix="loosen them or prepare more entries")
    if source.weighting is None:
        return rows, np.ones(len(rows))
    weights = row_weights(rows, source.weighting)
    if not weights.sum() > 0:
        raise InputError("no line of the index has a sampling weight", where=str(path),
                         fix="check mol_1_type and mol_2_type of the index")
    return rows, weights


def require_prepared(folders: Sequence[Path]) -> None:
    """Raise InputError for a folder without prepared data."""
    TrainingData(DataOptions(tuple(Source(folder) for folder in folders)))
