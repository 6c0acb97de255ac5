# SPDX-License-Identifier: Apache-2.0
"""The table of atoms: one row per heavy atom, columns as numpy arrays, bonds by row index."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np

from protenix_ms.typing import Array, Float, Int, Shaped


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
        extra: further columns, one value (or row of values) per atom, by name.
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
    extra: dict[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.atom_name)

    def _columns(self) -> list[str]:
        return [f.name for f in fields(self) if f.name not in ("bonds", "extra")]

    def __getitem__(self, rows: Shaped[Array, "..."] | slice) -> AtomTable:
        """The selected rows (boolean mask, index array or slice); bonds inside them are kept."""
        index = np.arange(len(self))[rows]
        place = np.full(len(self), -1, np.int64)
        place[index] = np.arange(len(index))
        ends = place[self.bonds[:, :2]]
        kept = (ends >= 0).all(axis=1)
        bonds = np.concatenate([ends[kept], self.bonds[kept, 2:]], axis=1).astype(np.int32)
        columns = {name: getattr(self, name)[index] for name in self._columns()}
        extra = {name: column[index] for name, column in self.extra.items()}
        return AtomTable(**columns, bonds=bonds, extra=extra)

    def with_columns(self, **columns: Array) -> AtomTable:
        """A copy with columns replaced; names that are not fields go to `extra`."""
        own = {k: v for k, v in columns.items() if k in self._columns() or k == "bonds"}
        extra = {**self.extra, **{k: v for k, v in columns.items() if k not in own}}
        return replace(self, **own, extra=extra)

    def residue_starts(self) -> Int[Array, "r"]:
        """First row of every residue (chain, residue number or name changes)."""
        if not len(self):
            return np.zeros(0, np.int64)
        new = np.zeros(len(self), bool)
        new[0] = True
        for column in (self.chain_id, self.res_id, self.res_name):
            new[1:] |= column[1:] != column[:-1]
        return np.flatnonzero(new)


def concatenate(tables: list[AtomTable]) -> AtomTable:
    """Rows of all tables one after another; bond indices shifted, shared `extra` columns kept."""
    names = tables[0]._columns()
    columns = {name: np.concatenate([getattr(t, name) for t in tables]) for name in names}
    offsets = np.cumsum([0, *[len(t) for t in tables[:-1]]])
    shifted = [t.bonds + np.array([o, o, 0], np.int32) for t, o in zip(tables, offsets)]
    shared = set.intersection(*[set(t.extra) for t in tables])
    extra = {name: np.concatenate([t.extra[name] for t in tables]) for name in sorted(shared)}
    return AtomTable(**columns, bonds=np.concatenate(shifted).astype(np.int32), extra=extra)
