# SPDX-License-Identifier: Apache-2.0
"""What is taken out of, or put right in, a deposit (AF3 SI 2.1, 2.5.4; upstream `Filter`)."""

from __future__ import annotations

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.constants.restypes import CRYSTALLIZATION_AIDS
from protenix_ms.data.segments import chain_rows, residue_rows
from protenix_ms.typing import Array, Bool

Polymers = dict[str, str]  # entity -> `_entity_poly.type`

MAX_CA_STEP = 10.0  # angstrom between consecutive alpha carbons
_UNKNOWN_RESIDUE = {
    "polypeptide(L)": "UNK", "polyribonucleotide": "N", "polydeoxyribonucleotide": "N",
}  # fmt: skip
# Ambiguous residues are read as the more symmetric of the two: component -> (name, atom names)
_AMBIGUOUS = {
    "ASX": ("ASP", {"XD1": "OD1", "XD2": "OD2"}),
    "GLX": ("GLU", {"XE1": "OE1", "XE2": "OE2"}),
}


def without_water_and_hydrogen(atoms: AtomTable) -> AtomTable:
    """Heavy atoms of everything but (heavy) water."""
    unwanted = np.isin(atoms.res_name, ("HOH", "DOD")) | np.isin(atoms.element, ("H", "D"))
    return atoms[~unwanted]


def without_unknown_chains(atoms: AtomTable, polymers: Polymers) -> AtomTable:
    """Polymer chains whose residues are all unknown are dropped."""

    def unknown(rows: slice) -> bool:
        name = _UNKNOWN_RESIDUE.get(_type(atoms, rows, polymers))
        return name is not None and bool((atoms.res_name[rows] == name).all())

    return atoms[~_chains(atoms, unknown)]


def without_torn_chains(atoms: AtomTable, polymers: Polymers) -> AtomTable:
    """Protein chains with neighbouring residues over 10 angstrom apart are dropped."""

    def torn(rows: slice) -> bool:
        if _type(atoms, rows, polymers) != "polypeptide(L)":
            return False
        alpha = np.flatnonzero(atoms.atom_name[rows] == "CA") + rows.start
        far = (np.diff(atoms.coord[alpha], axis=0) ** 2).sum(1) > MAX_CA_STEP**2
        return bool((far & (np.diff(atoms.res_id[alpha]) == 1)).any())

    return atoms[~_chains(atoms, torn)]


def with_arginines_named(atoms: AtomTable) -> AtomTable:
    """NH1 is the nitrogen nearer to CD (coordinates change places where it is not)."""
    coord = atoms.coord.copy()
    for rows in residue_rows(atoms):
        if atoms.res_name[rows.start] != "ARG":
            continue
        place = {name: row for row, name in enumerate(atoms.atom_name[rows].tolist(), rows.start)}
        if not place.keys() >= {"CD", "NH1", "NH2"}:
            continue
        first, second = place["NH1"], place["NH2"]
        near, far = ((coord[[first, second]] - coord[place["CD"]]) ** 2).sum(1)
        if far < near:
            coord[[first, second]] = coord[[second, first]]
    return atoms.with_columns(coord=coord)


def without_unknown_elements(atoms: AtomTable) -> AtomTable:
    """Unknown atoms and ligands are dropped; ASX becomes ASP, GLX becomes GLU."""
    atoms = atoms[~np.isin(atoms.res_name, ("UNX", "UNL"))]
    names, codes, elements = atoms.atom_name, atoms.res_name, atoms.element
    for code, (meant, renamed) in _AMBIGUOUS.items():
        rows = atoms.res_name == code
        codes = np.where(rows, meant, codes)
        elements = np.where(rows & (elements == "X"), "O", elements)
        for old, new in renamed.items():
            names = np.where(rows & (names == old), new, names)
    return atoms.with_columns(atom_name=names, res_name=codes, element=elements)


def without_crystallization_aids(atoms: AtomTable, polymers: Polymers) -> AtomTable:
    """Buffer, cryoprotectants and the like are dropped unless they are part of a polymer."""
    aid = np.isin(atoms.res_name, list(CRYSTALLIZATION_AIDS))
    return atoms[~aid | np.isin(atoms.entity_id, list(polymers))]


def _type(atoms: AtomTable, rows: slice, polymers: Polymers) -> str:
    return polymers.get(str(atoms.entity_id[rows.start]), "")


def _chains(atoms: AtomTable, wrong) -> Bool[Array, "a"]:
    """Atoms of the chains for which `wrong(rows)` holds."""
    mask = np.zeros(len(atoms), bool)
    for rows in chain_rows(atoms):
        mask[rows] = wrong(rows)
    return mask
