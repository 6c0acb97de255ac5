# SPDX-License-Identifier: Apache-2.0
"""Covalent bonds between residues, and the leaving atoms they cost (upstream `json_to_feature`)."""

from __future__ import annotations

import difflib
from collections import Counter

import gemmi
import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.residue import lost_atoms
from protenix_ms.errors import ChemistryError
from protenix_ms.job import AtomAddress, CovalentBond
from protenix_ms.typing import Array, Bool, Int

_MOST_BONDS = {"H": 1, "B": 4, "C": 4, "N": 4, "O": 2, "F": 1}  # to other than metals


def apply_covalent_bonds(
    table: AtomTable,
    bonds: tuple[CovalentBond, ...],
    ccd: ComponentDictionary,
    generator: np.random.Generator | None = None,
    *,
    check_valence: bool = False,
) -> AtomTable:
    """Make the job's bonds and remove the leaving groups of bonded atoms.

    `table` is the whole assembly in job order; `entity_id` holds "1", "2", ...; `copy_id` counts
    the copies of an entity; `atom_index` and `atom_map` are used for addresses by number. A bond
    without copies joins the copies pairwise, in order.

    Args:
        generator: chooses among leaving groups when an atom has more of them than bonds (upstream
            draws from `random.sample`); None takes the first in dictionary order.
        check_valence: refuse bonds of atoms that have no valence left; upstream makes them.

    Raises:
        ChemistryError: a bond end that matches no atom, different numbers of copies, or (checked)
            an atom with more bonds than its element can have.
    """
    pairs: list[tuple[int, int]] = []
    for number, bond in enumerate(bonds, 1):
        place = f"covalent bond {number}"
        first, second = (addressed_atoms(table, end, place).tolist()
                         for end in (bond.first, bond.second))
        if len(first) != len(second):
            raise ChemistryError(
                f"entity {bond.first.entity} gives {len(first)} atoms and entity "
                f"{bond.second.entity} gives {len(second)}", where=place,
                fix="name the copies to join, or give both entities the same count")
        if any(start == end for start, end in zip(first, second)):
            raise ChemistryError("an atom is bonded to itself", where=place,
                                 fix="name two different atoms")
        pairs += zip(first, second)
    known = {tuple(sorted(pair)) for pair in table.bonds[:, :2].tolist()}
    new = sorted({tuple(sorted(pair)) for pair in pairs} - known)
    joined = np.array([(*pair, 1) for pair in new], np.int32).reshape(-1, 3)
    table = table.with_columns(bonds=np.concatenate([table.bonds, joined]))
    count = Counter(row for pair in pairs for row in pair)
    lost = lost_atoms(table, count, ccd, generator)
    if check_valence:
        _require_valence(table, lost, sorted(count))
    return table[~lost]


def _require_valence(table: AtomTable, lost: Bool[Array, "a"], rows: list[int]) -> None:
    """Refuse bonded atoms with too many bonds, once leaving atoms are gone; metals bond freely.

    Atoms of SMILES and file ligands are not checked: no dictionary tells what leaves them.
    """
    metal = np.array([gemmi.Element(symbol).is_metal for symbol in table.element.tolist()], bool)
    first, second, order = table.bonds.T
    real = ~(lost[first] | lost[second] | metal[first] | metal[second])
    order = np.where(order == 4, 1, order)  # aromatic where no pattern of double bonds is known
    sums = np.bincount(np.append(first[real], second[real]), np.append(order[real], order[real]),
                       len(table)).astype(int)
    for row in (row for row in rows if table.atom_index[row] < 0):
        element = str(table.element[row])
        most = _MOST_BONDS.get(element, sums[row]) + (element == "O" and table.charge[row] > 0)
        if sums[row] > most:
            raise ChemistryError(
                f"atom {table.atom_name[row]} of {table.res_name[row]} would have {sums[row]} "
                f"bonds (double ones count twice), {element} has at most {most}",
                where=f"covalent_bonds, entity {table.entity_id[row]}, position "
                f"{table.res_id[row]}", fix="bond another atom, or one fewer")


def addressed_atoms(table: AtomTable, address: AtomAddress, place: str = "") -> Int[Array, "k"]:
    """Find the rows of an address, one per copy of the entity (or of the one copy named).

    A number addresses an atom of a SMILES or file ligand: a map number if the ligand carries map
    numbers, otherwise the 0-based atom index (upstream's rule).

    Raises:
        ChemistryError: nothing is there.
    """
    of_entity = table.entity_id == str(address.entity)
    if address.copy is not None:
        of_entity = of_entity & (table.copy_id == address.copy)
    if not of_entity.any():
        copy = "" if address.copy is None else f" copy {address.copy}"
        raise ChemistryError(f"there is no entity {address.entity}{copy}", where=place,
                             fix="entities and copies count from 1")
    within = of_entity & (table.res_id == address.position)
    if not within.any():
        raise ChemistryError(f"there is no position {address.position}",
                             where=f"{place}, entity {address.entity}",
                             fix=f"positions run from 1 to {table.res_id[of_entity].max()}")
    rows = np.flatnonzero(within & _is_named(table, within, address.atom))
    if not len(rows):
        names = table.atom_name[within].tolist()
        near = difflib.get_close_matches(str(address.atom), names, 1)
        raise ChemistryError(
            f"there is no atom {address.atom} in {table.res_name[within][0]}",
            where=f"{place}, entity {address.entity}, position {address.position}",
            fix=f"did you mean {near[0]}?" if near else f"its atoms are {' '.join(names[:20])}")
    return rows


def _is_named(
    table: AtomTable, within: Bool[Array, "a"], atom: str | int | None
) -> Bool[Array, "a"]:
    """Mark the rows whose atom is called so, by name or (digits) by map number or index."""
    if isinstance(atom, str) and not atom.isdigit():
        return np.equal(table.atom_name, atom)
    if atom is None or (table.atom_index[within] < 0).all():
        return np.zeros(len(table), bool)
    mapped = (table.atom_map[within] > 0).any()
    return np.equal(table.atom_map if mapped else table.atom_index, int(atom))


def selenomethionine_to_methionine(table: AtomTable) -> AtomTable:
    """Rename MSE residues to MET and SE to SD (AF3 SI 2.1; upstream calls it after the bonds)."""
    mse = table.res_name == "MSE"
    selenium = mse & (table.atom_name == "SE")
    return table.with_columns(
        atom_name=np.where(selenium, "SD", table.atom_name),
        element=np.where(selenium, "S", table.element),
        res_name=np.where(mse, "MET", table.res_name),
        hetero=table.hetero & ~mse,
    )
