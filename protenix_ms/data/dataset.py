# SPDX-License-Identifier: Apache-2.0
"""Serve prepared data as an endless sequence of examples: the n-th one is always the same.

`TrainingData` makes examples by position, `Loader` makes them ahead of time in other processes,
and `HeldOut` makes those by which a model is judged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.data.crop import EmptyCropError
from protenix_ms.data.entry import SUFFIX, read_prepared
from protenix_ms.data.example import Alignments, ExampleOptions, TrainingExample, training_example
from protenix_ms.data.index import (
    Row,
    RowFilter,
    Weighting,
    chains_of,
    epoch_order,
    read_index,
    row_weights,
)
from protenix_ms.data.preparation import ENTRIES, INDEX, read_alignments, worker_pool
from protenix_ms.data.symmetry import Symmetries
from protenix_ms.data.templates import read_templates
from protenix_ms.errors import InputError, ProtenixError
from protenix_ms.typing import Array, Float, Int, Shaped

ATTEMPTS = 10  # rows tried for one example, as upstream
_CACHED_ENTRIES = 16
_EXAMPLE_STREAM, _HELD_OUT_STREAM = 1, 2  # keep draws apart from those of the order
_LARGE = 1 << 16  # bytes
_MAX_FILLED = 1 / 16


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

    def weighted_rows(self) -> tuple[list[Row], Float[Array, "r"]]:
        """Read the lines that take part, and weigh them.

        Raises:
            InputError: there are none, or none has a weight.
        """
        path = self.folder / INDEX
        rows = [row for row in read_index(path) if self.rows.keeps(row)]
        if not rows:
            raise InputError("no line of the index passes the filters", where=str(path),
                             fix="loosen them or prepare more entries")
        if self.weighting is None:
            return rows, np.ones(len(rows))
        weights = row_weights(rows, self.weighting)
        if not weights.sum() > 0:
            raise InputError("no line of the index has a sampling weight", where=str(path),
                             fix="check mol_1_type and mol_2_type of the index")
        return rows, weights


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
        """Find the epoch of this rank's `position`, and the place in the epoch's common order."""
        per_epoch = max(1, self.epoch_size // self.ranks)
        epoch, step = divmod(position, per_epoch)
        return epoch, step * self.ranks + self.rank


@dataclass(frozen=True)
class DrawnExample:
    """An example and where it comes from.

    Attributes:
        row: its line of the index.
        example: features and labels.
        skipped: why lines drawn before it gave no example.
        position: in this rank's sequence.
    """

    row: Row
    example: TrainingExample
    skipped: tuple[str, ...] = ()
    position: int = 0


class TrainingData:
    """Examples by position. Order and content follow from the options alone.

    The order does not depend on the number of ranks: rank r of R has the places r, R + r, ... of
    the order that one process alone would walk through.
    """

    def __init__(self, options: DataOptions) -> None:
        self.options = options
        ccd = ComponentDictionary.load(options.ccd)
        ccd = ccd.with_conformers(options.conformers) if options.conformers else ccd
        self._symmetries = Symmetries(ccd)
        self.rows: list[tuple[int, Row]] = []
        weights = [np.zeros(0)]
        for number, source in enumerate(options.sources):
            rows, weight = source.weighted_rows()
            self.rows += [(number, row) for row in rows]
            weights.append(source.share * weight / weight.sum())
        self.weights: Float[Array, "r"] = np.concatenate(weights)
        files = [read_alignments(source.folder) for source in options.sources]
        self._alignments = [Alignments(f, options.use_rna_msa) if f else None for f in files]
        self._templates = [read_templates(source.folder) for source in options.sources]
        self._entry = lru_cache(_CACHED_ENTRIES)(lambda path: read_prepared(path, ccd))
        self._order = lru_cache(1)(
            lambda epoch: epoch_order(self.weights, options.epoch_size, options.seed, epoch))

    def example(self, position: int) -> DrawnExample:
        """Make the example at a position of this rank.

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
            try:
                drawn = self.example_of(index, rng)
                return replace(drawn, skipped=tuple(reasons), position=position)
            except (EmptyCropError, ProtenixError) as error:
                reasons.append(f"{self.rows[index][1]['pdb_id']}: {error}")
            index = int(rng.integers(len(self.rows)))
        raise InputError(
            f"{ATTEMPTS} lines of the index gave no example (last: {reasons[-1]})",
            where=str(self.options.sources[0].folder), fix="check the prepared data",
        )

    def example_of(self, index: int, rng: np.random.Generator) -> DrawnExample:
        """Make an example of line `index` of `rows`.

        Raises:
            EmptyCropError, ProtenixError: this line gives none.
        """
        number, row = self.rows[index]
        source = self.options.sources[number]
        entry = self._entry(source.folder / ENTRIES / f"{row['pdb_id']}{SUFFIX}")
        example = training_example(entry, chains_of(row), rng, source.example, self._symmetries,
                                   self._alignments[number], self._templates[number])
        return DrawnExample(row, example)


def require_prepared(folders: Sequence[Path]) -> None:
    """Raise InputError for a folder without prepared data."""
    TrainingData(DataOptions(tuple(Source(folder) for folder in folders)))


class HeldOut:
    """One example per prepared entry, in the order of their names, the same at every pass.

    Args:
        folder: what `prepare-data` wrote, of entries that training does not see.
        options: how examples are made. A crop lies around the entry's first chain.
        most: examples at most, spread over the names; 0 for all.
        use_rna_msa: off, alignments of RNA are ignored.

    Attributes:
        left_out: why entries gave no example in the last pass.

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

    def __iter__(self) -> Iterator[DrawnExample]:
        """Make the examples, and note in `left_out` why entries gave none."""
        self.left_out = []
        for index in self._rows:
            try:
                rng = np.random.default_rng([index, _HELD_OUT_STREAM])
                yield self._data.example_of(index, rng)
            except (EmptyCropError, ProtenixError) as error:
                self.left_out.append(f"{self._data.rows[index][1]['pdb_id']}: {error}")


class Loader:
    """Examples from a position on; the same ones whatever the number of processes.

    The position to go on from after the example at position p is p + 1; that number is all that
    a checkpoint needs.

    Args:
        options: which examples.
        processes: that make examples; 0 makes them here, when asked.
        ahead: examples in the making or waiting.
    """

    def __init__(self, options: DataOptions, processes: int = 1, ahead: int = 4) -> None:
        self.options, self.processes, self.ahead = options, processes, max(1, ahead)

    def examples(self, start: int = 0) -> Iterator[DrawnExample]:
        """Yield examples number `start`, `start` + 1, ... without end; close it to stop.

        Raises:
            InputError: the data are unusable.
            ResourceError: a process of the loader was killed.
        """
        if self.processes <= 0:
            data, position = TrainingData(self.options), start
            while True:
                yield data.example(position)
                position += 1
        waiting: deque[Future[tuple[dict[str, Array | Sparse], DrawnExample]]] = deque()
        with worker_pool(self.processes, "makes training examples", _open, self.options) as pool:
            submitted = start
            while True:
                while len(waiting) < self.ahead:
                    waiting.append(pool.submit(_make, submitted))
                    submitted += 1
                packed, drawn = waiting.popleft().result()
                yield replace(drawn, example=replace(drawn.example, features=unpack(packed)))


_data: list[TrainingData | ProtenixError] = []  # of this worker process


def _open(options: DataOptions) -> None:
    """Open the data; an error is kept, and raised when the first example is asked for."""
    try:
        _data[:] = [TrainingData(options)]
    except ProtenixError as error:
        _data[:] = [error]


def _make(position: int) -> tuple[dict[str, Array | Sparse], DrawnExample]:
    """Make an example; return its features packed, and the rest without them."""
    (data,) = _data
    if isinstance(data, ProtenixError):
        raise data
    drawn = data.example(position)
    bare = replace(drawn.example, features={})
    return pack(drawn.example.features), replace(drawn, example=bare)


@dataclass(frozen=True)
class Sparse:
    """The non-zero entries of an array, by flat index."""

    shape: tuple[int, ...]
    index: Int[Array, "k"]
    values: Shaped[Array, "k"]

    def dense(self) -> Shaped[Array, "..."]:
        """Fill in the array; one without entries is a read-only view of a single zero."""
        if not len(self.index):
            return np.broadcast_to(np.zeros((), self.values.dtype), self.shape)
        array = np.zeros(self.shape, self.values.dtype)
        array.reshape(-1)[self.index] = self.values
        return array


def pack(arrays: Mapping[str, Array]) -> dict[str, Array | Sparse]:
    """Shrink large arrays with few non-zero entries for the way between processes."""
    return {name: _packed(array) for name, array in arrays.items()}


def unpack(packed: Mapping[str, Array | Sparse]) -> dict[str, Array]:
    """Restore the arrays, equal in values, shapes and dtypes."""
    return {k: v.dense() if isinstance(v, Sparse) else v for k, v in packed.items()}


def _packed(array: Array) -> Array | Sparse:
    if array.nbytes < _LARGE:
        return array
    if not any(array.strides):  # a view of one value
        empty = Sparse(array.shape, np.zeros(0, np.int64), np.zeros(0, array.dtype))
        return array if array.flat[0] else empty
    if np.count_nonzero(array) > _MAX_FILLED * array.size:
        return array
    index = np.flatnonzero(array)
    return Sparse(array.shape, index, array.reshape(-1)[index])
