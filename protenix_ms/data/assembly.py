# SPDX-License-Identifier: Apache-2.0
"""The biological assembly: copies of chains by symmetry, each under a name of its own."""

from __future__ import annotations

from collections import Counter

import numpy as np

from protenix_ms.chem.atom_table import AtomTable, concatenate
from protenix_ms.data.mmcif import AssemblyPart
from protenix_ms.data.segments import changes, groups
from protenix_ms.typing import Array, Shaped


def expand(atoms: AtomTable, parts: tuple[AssemblyPart, ...] | None) -> AtomTable:
    """Assembly 1 (upstream `expand_assembly`, `unique_chain_and_add_ids`).

    The second copy of chain A is called A.1, the third A.2, and so on. Unresolved atoms stay at
    the origin. Without parts (None) the deposit itself is the assembly.
    """
    copies = [(atoms, 0)] if parts is None else list(_copies(atoms, parts))
    if not copies:
        return atoms[:0]
    table = concatenate([copy for copy, _ in copies])
    number = np.concatenate([np.full(len(copy), motion) for copy, motion in copies])
    table = table.with_columns(chain_id=_unique_names(table, number))
    return table.with_columns(coord=np.where(table.extra["is_resolved"][:, None], table.coord, 0))


def _copies(atoms: AtomTable, parts: tuple[AssemblyPart, ...]):
    for part in parts:
        chosen = atoms[np.isin(atoms.chain_id, part.chains)]
        for number, motion in enumerate(part.motions if len(chosen) else ()):
            coord = chosen.coord.astype(np.float64) @ motion[:, :3].T + motion[:, 3]
            yield chosen.with_columns(coord=coord.astype(np.float32)), number


def _unique_names(atoms: AtomTable, motion: Array) -> Shaped[Array, "a"]:
    starts = changes(atoms.chain_id, motion)
    starts[1:] |= atoms.res_id[1:] < atoms.res_id[:-1]
    seen: Counter[str] = Counter()
    names = []
    for rows in groups(starts):
        name = str(atoms.chain_id[rows.start])
        names += [f"{name}.{seen[name]}" if seen[name] else name] * (rows.stop - rows.start)
        seen[name] += 1
    return np.array(names)
