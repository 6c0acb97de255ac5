# SPDX-License-Identifier: Apache-2.0
"""Our features beside recorded ones: integers equal, floats close, conformers up to a motion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.geometry.rigid import superpose
from protenix_ms.typing import Array, Float, Int

ABSENT_BY_DESIGN = {"esm_token_embedding": "absent by design: embeddings come with the job"}
FLOAT_TOLERANCE = 1e-6  # times the larger of 1 and the largest recorded magnitude


@dataclass(frozen=True)
class Comparison:
    """One feature: `difference` is the largest absolute one, or 0/1 for integers; None = absent."""

    name: str
    difference: float | None
    equal: bool
    note: str = ""


def compare(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> Iterator[Comparison]:
    """Compare every recorded feature against ours, in recorded order, then what only we have.

    `ref_pos` is compared after the best rigid motion per `ref_space_uid`, since its random
    placement is not recorded. Dtypes must be equal too.
    """
    for name in theirs:
        if name in ABSENT_BY_DESIGN and name not in ours:
            yield Comparison(name, None, True, ABSENT_BY_DESIGN[name])
        elif name not in ours:
            yield Comparison(name, None, False, "absent in ours")
        elif ours[name].dtype != theirs[name].dtype or ours[name].shape != theirs[name].shape:
            kinds = [f"{array.dtype}{list(array.shape)}" for array in (ours[name], theirs[name])]
            yield Comparison(name, None, False, f"{kinds[0]}, recorded {kinds[1]}")
        elif name.rpartition("/")[2] == "ref_pos":
            space = theirs[name.removesuffix("ref_pos") + "ref_space_uid"]
            moved = superposed(ours[name], theirs[name], space)
            yield _compared(name, moved, theirs[name], "after the best rigid motion per residue")
        else:
            yield _compared(name, ours[name], theirs[name])
    for name in sorted(set(ours) - set(theirs)):
        yield Comparison(name, None, True, "not recorded")


def _compared(name: str, ours: Array, theirs: Array, note: str = "") -> Comparison:
    if not np.issubdtype(theirs.dtype, np.floating):
        wrong = int((ours != theirs).sum())
        return Comparison(name, float(wrong > 0), wrong == 0, f"{wrong} differ" if wrong else note)
    difference = float(np.abs(ours - theirs).max(initial=0))
    scale = max(1.0, float(np.abs(theirs).max(initial=0)))
    return Comparison(name, difference, difference <= FLOAT_TOLERANCE * scale, note)


def superposed(
    moving: Float[Array, "a 3"], fixed: Float[Array, "a 3"], group: Int[Array, "a"]
) -> Float[Array, "a 3"]:
    """Lay `moving` on `fixed` by the best rotation and translation of each group; float64."""
    result = moving.astype(np.float64)
    for number in np.unique(group):
        rows = group == number
        result[rows] = superpose(result[rows], fixed[rows])
    return result


def with_recorded_ligands(atoms: AtomTable, recorded: Mapping[str, Array]) -> AtomTable:
    """Give `atoms` a recording's conformers of ligands outside the CCD (``l01``, ...).

    Upstream embeds them without a seed, so they cannot be made again.

    Args:
        recorded: ``atoms.npz`` of a recording, the same atoms in the same order.
    """
    names = recorded["atom/res_name"], recorded["atom/atom_name"]
    if len(names[0]) != len(atoms):
        return atoms
    rows = (names[0] == atoms.res_name) & (names[1] == atoms.atom_name)
    rows &= np.char.islower(atoms.res_name)
    position = np.where(rows[:, None], recorded["atom/ref_pos"], atoms.ref_pos)
    return atoms.with_columns(ref_pos=position)
