# SPDX-License-Identifier: Apache-2.0
"""The table of atoms: one row per heavy atom, columns as numpy arrays, bonds by row index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np

from protenix_ms.chem.columns import runs, starts_of_runs
from protenix_ms.typing import Array, Bool, Float, Int, Shaped

Table = TypeVar("Table", bound="AtomTable")


def column_of(value: object) -> Any:
    """Declare a field that, unless given, holds `value` in every row."""
    return field(default=None, metadata={"value": value})


@dataclass(frozen=True)
class AtomTable:
    """Atoms of one assembly, in model order (chain by chain, residue by residue).

    Attributes:
        atom_name, element, res_name: names as in the CCD (element upper case, e.g. "CL").
        chain_id: chain name shown to people, one per copy of an entity.
        entity_id: label of the entity, "1", "2", ... in job order.
        res_id: 1-based residue number in its chain.
        charge: formal charge.
        hetero: True for ligands; upstream sets it for no residue of a polymer, modified or not.
        coord: coordinates in angstrom (NaN or zeros while unknown).
        ref_pos: reference conformer in angstrom, before augmentation.
        ref_mask: 1 where `ref_pos` is known.
        bonds: row pairs and bond order (1, 2, 3; 4 aromatic; 0 unknown).
        is_resolved: False for atoms of an experimental structure without coordinates.
        copy_id: 1-based copy of the entity in a job.
        atom_index, atom_map: index and map number of an atom of a SMILES or file, -1 for none.
    """

    atom_name: Shaped[Array, "a"]
    element: Shaped[Array, "a"]
    res_name: Shaped[Array, "a"]
    chain_id: Shaped[Array, "a"]
    entity_id: Shaped[Array, "a"]
    res_id: Int[Array, "a"]
    charge: Int[Array, "a"]
    hetero: Shaped[Array, "a"]
    coord: Float[Array, "a 3"]
    ref_pos: Float[Array, "a 3"]
    ref_mask: Int[Array, "a"]
    bonds: Int[Array, "p 3"] = field(default_factory=lambda: np.zeros((0, 3), np.int32))
    is_resolved: Bool[Array, "a"] = column_of(True)
    copy_id: Int[Array, "a"] = column_of(1)
    atom_index: Int[Array, "a"] = column_of(-1)
    atom_map: Int[Array, "a"] = column_of(-1)

    def __post_init__(self) -> None:
        for f in fields(self):
            if getattr(self, f.name) is None:
                object.__setattr__(self, f.name, np.full(len(self), f.metadata["value"]))

    def __len__(self) -> int:
        return len(self.atom_name)

    def __getitem__(self: Table, rows: Shaped[Array, "..."] | slice) -> Table:
        """Select rows by mask, indices or slice; bonds between selected rows are kept."""
        index = np.arange(len(self))[rows]
        place = np.full(len(self), -1, np.int64)
        place[index] = np.arange(len(index))
        ends = place[self.bonds[:, :2]]
        kept = (ends >= 0).all(axis=1)
        bonds = np.concatenate([ends[kept], self.bonds[kept, 2:]], axis=1).astype(np.int32)
        columns = {name: column[index] for name, column in vars(self).items() if name != "bonds"}
        return type(self)(**columns, bonds=bonds)

    def with_columns(self: Table, **columns: Array) -> Table:
        """Copy the table with some columns replaced."""
        return replace(self, **columns)

    def with_values(self: Table, **values: Any) -> Table:
        """Copy the table with some columns that hold one value in every row."""
        return replace(self, **{name: np.full(len(self), v) for name, v in values.items()})

    def residue_starts(self) -> Int[Array, "r"]:
        """First row of every residue (chain, residue number or name changes)."""
        return np.flatnonzero(starts_of_runs(self.chain_id, self.res_id, self.res_name))

    def chain_starts(self) -> Int[Array, "c"]:
        """First row of every chain: its name changes or residue numbers fall, as upstream reads."""
        new = starts_of_runs(self.chain_id)
        new[1:] |= self.res_id[1:] < self.res_id[:-1]
        return np.flatnonzero(new)

    def residues(self) -> list[slice]:
        """Rows of every residue, in order."""
        return runs(np.isin(np.arange(len(self)), self.residue_starts()))

    def chains(self) -> list[slice]:
        """Rows of every chain, in order."""
        return runs(np.isin(np.arange(len(self)), self.chain_starts()))


def concatenate(tables: Sequence[Table]) -> Table:
    """Join the rows of all tables; bond indices are shifted."""
    offsets = np.cumsum([0, *[len(t) for t in tables[:-1]]])
    shifted = [t.bonds + np.array([o, o, 0], np.int32) for t, o in zip(tables, offsets)]
    columns = {name: np.concatenate([getattr(t, name) for t in tables])
               for name in vars(tables[0]) if name != "bonds"}
    return type(tables[0])(**columns, bonds=np.concatenate(shifted).astype(np.int32))
