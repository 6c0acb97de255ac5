# SPDX-License-Identifier: Apache-2.0
"""Polymer chains from sequences (upstream `json_parser.build_polymer`)."""

from __future__ import annotations

from collections import Counter

import numpy as np

from protenix_ms.chem.atom_table import AtomTable, concatenate
from protenix_ms.chem.ccd import Component, ComponentDictionary
from protenix_ms.chem.residue import lost_atoms, residue_table
from protenix_ms.constants.restypes import SEQUENCE_LETTERS
from protenix_ms.errors import ChemistryError
from protenix_ms.job import Modification, PolymerKind
from protenix_ms.typing import Array, Bool


def build_polymer(
    kind: PolymerKind,
    sequence: str,
    modifications: tuple[Modification, ...],
    ccd: ComponentDictionary,
    upstream_quirks: bool = False,
) -> AtomTable:
    """Make the atoms of one copy of a chain, leaving atoms removed, polymer bonds made.

    `res_id` is 1-based; `chain_id` and `entity_id` are "" for the caller to fill; `hetero` is
    False; `charge` is the reference conformer's (upstream `ref_charge`); `coord` is zero.

    Args:
        upstream_quirks: of caps, bond only ACE and NME, and keep the OXT of the residue before
            NME, whose carbon then has five bonds.

    Raises:
        ChemistryError: an unknown letter or component, or a modification outside the chain.
    """
    codes = residue_codes(kind, sequence, modifications, ccd)
    chain = concatenate([residue_table(ccd[code], number, hetero=False)
                         for number, code in enumerate(codes, 1)])
    polymer_bonds = _polymer_bonds(chain, codes, ccd, upstream_quirks)
    cap_bonds = _upstream_cap_bonds(chain, codes) if upstream_quirks else (
        (_cap_bonds if kind == "protein" else _nucleic_cap_bonds)(chain, codes, ccd))
    new = [(*pair, 1) for pair in polymer_bonds + cap_bonds]
    bonds = np.concatenate([chain.bonds, np.array(new, np.int32).reshape(-1, 3)])
    chain = chain.with_columns(bonds=bonds)
    costly = polymer_bonds if upstream_quirks else [*polymer_bonds, *cap_bonds]
    chain = chain[~lost_atoms(chain, Counter(row for pair in costly for row in pair), ccd)]
    return chain[~_lost_at_gaps(chain, codes, ccd)]


def residue_codes(
    kind: PolymerKind,
    sequence: str,
    modifications: tuple[Modification, ...],
    ccd: ComponentDictionary,
) -> list[str]:
    """List the component of every residue.

    Raises:
        ChemistryError: see `build_polymer`.
    """
    letters = SEQUENCE_LETTERS[kind]
    if not sequence:
        raise ChemistryError(f"this {kind} sequence is empty", fix="give at least one residue")
    for position, letter in enumerate(sequence, 1):
        if letter not in letters:
            upper = f"write '{letter.upper()}'" if letter.upper() in letters else ""
            raise ChemistryError(
                f"'{letter}' is not a {kind} residue (known: {' '.join(letters)})",
                where=f"position {position}",
                fix=upper or "use X for an unknown residue, or a modification with a CCD code")
    codes = [letters[letter] for letter in sequence]
    for change in modifications:
        if not 1 <= change.position <= len(codes):
            raise ChemistryError(
                f"modification {change.code} stands outside the chain of {len(codes)}",
                where=f"position {change.position}", fix="positions count from 1")
        try:
            codes[change.position - 1] = ccd[change.code].code
        except ChemistryError as error:
            place = f"modification at position {change.position}"
            raise ChemistryError(error.message, where=place, fix=error.fix) from None
    return codes


def _bond(chain: AtomTable, res_id: int, first: str, second: str) -> list[tuple[int, int]]:
    """Return the bond first(res_id) - second(res_id + 1), or nothing when an atom is absent."""
    start, end = (np.flatnonzero((chain.res_id == number) & (chain.atom_name == name)).tolist()
                  for number, name in ((res_id, first), (res_id + 1, second)))
    return [(start[0], end[0])] if start and end else []


def _polymer_bonds(
    chain: AtomTable, codes: list[str], ccd: ComponentDictionary, upstream_quirks: bool
) -> list[tuple[int, int]]:
    """Bond C-N and O3'-P between neighbours whose component types belong together."""
    pairs = []
    kinds = [ccd.mol_type(code) for code in codes]
    ends = [("N", "C") if upstream_quirks else _peptide_ends(ccd[code]) for code in codes]
    for res_id, (kind, following) in enumerate(zip(kinds, kinds[1:]), 1):
        if kind == following == "protein":
            pairs += _bond(chain, res_id, ends[res_id - 1][1], ends[res_id][0])
        elif {kind, following} <= {"dna", "rna"}:
            pairs += _bond(chain, res_id, "O3'", "P")
    return pairs


def _peptide_ends(part: Component) -> tuple[str, str]:
    """Name the nitrogen and the carbon with which a residue joins its neighbours.

    Chromophores made of three residues (CRO of GFP) have no N and C. Their ends are the only
    primary amine, amides apart, and the only carbon that loses an OXT. Without such an atom, or
    with several, the usual name stays and nothing is bonded.
    """
    names, element = part.atom_name.tolist(), part.element.tolist()
    if {"N", "C"} & set(names):
        return "N", "C"
    bonds = [(*map(int, ends), int(order)) for pair, order in zip(part.bonds, part.bond_order)
             for ends in (pair, pair[::-1])]
    polar = {i for i, j, order in bonds if order == 2 and element[j] in "NO"}
    amines = [names[i] for i, j, _ in bonds if element[i] == "N" and part.hydrogens[i] > 1
              and element[j] == "C" and j not in polar]
    acids = [names[i] for i, j, _ in bonds if i in polar and names[j] == "OXT"
             and part.leaving[j]]
    return amines[0] if len(amines) == 1 else "N", acids[0] if len(acids) == 1 else "C"


def _cap_bonds(
    chain: AtomTable, codes: list[str], ccd: ComponentDictionary
) -> list[tuple[int, int]]:
    """Bond C-N between neighbours of which one is no peptide: caps, statine, beta-alanine.

    The first must have a carbonyl C and the second an N with a hydrogen to give. NME at the start
    has neither, for its C is a methyl group.
    """
    parts = [ccd[code] for code in codes]
    acyl = [any(order == 2 and {"C"} < set(part.atom_name[pair].tolist())
                and "O" in part.element[pair] for pair, order in zip(part.bonds, part.bond_order))
            for part in parts]
    amine = [bool((part.hydrogens[part.atom_name == "N"] > 0).any()) for part in parts]
    return [bond for i in range(1, len(codes))
            if {parts[i - 1].mol_type, parts[i].mol_type} in ({"protein", "ligand"}, {"ligand"})
            and acyl[i - 1] and amine[i] for bond in _bond(chain, i, "C", "N")]


def _nucleic_cap_bonds(
    chain: AtomTable, codes: list[str], ccd: ComponentDictionary
) -> list[tuple[int, int]]:
    """Bond O3'-P where one neighbour is no nucleotide by its type, as GTP at the start of RNA.

    The O3' must have a hydrogen to give.
    """
    parts = [ccd[code] for code in codes]
    hydroxyl = [bool((part.hydrogens[part.atom_name == "O3'"] > 0).any()) for part in parts]
    return [bond for i in range(1, len(codes)) if hydroxyl[i - 1]
            and "ligand" in (parts[i - 1].mol_type, parts[i].mol_type)
            for bond in _bond(chain, i, "O3'", "P")]


def _upstream_cap_bonds(chain: AtomTable, codes: list[str]) -> list[tuple[int, int]]:
    """Bond ACE at the start and NME at the end, the only caps that upstream bonds."""
    pairs = _bond(chain, 1, "C", "N") if codes[0] == "ACE" else []
    return pairs + (_bond(chain, len(codes) - 1, "C", "N") if codes[-1] == "NME" else [])


def unbonded_neighbours(chain: AtomTable) -> list[int]:
    """List the positions whose residue is not bonded to the next one, in one copy of a chain."""
    ends = chain.res_id[chain.bonds[:, :2]]
    joined = set(ends.min(axis=1)[np.abs(ends[:, 0] - ends[:, 1]) == 1].tolist())
    return [i for i in range(1, int(chain.res_id.max())) if i not in joined]


def _lost_at_gaps(
    chain: AtomTable, codes: list[str], ccd: ComponentDictionary
) -> Bool[Array, "a"]:
    """Mark the leaving atoms of both residues at a pair of neighbours without a bond.

    The 5' phosphate's OP3 and the C-terminal OXT stay.
    """
    lost = np.zeros(len(chain), bool)
    for gap in unbonded_neighbours(chain):
        for res_id in (gap, gap + 1):
            component = ccd[codes[res_id - 1]]
            staying = component.atom_name[~component.leaving].tolist()
            if res_id == 1 and component.mol_type in ("dna", "rna"):
                staying.append("OP3")
            if res_id == len(codes) and component.mol_type == "protein":
                staying.append("OXT")
            lost |= (chain.res_id == res_id) & ~np.isin(chain.atom_name, staying)
    return lost
