# SPDX-License-Identifier: Apache-2.0
"""Polymer chains from sequences (upstream `json_parser.build_polymer`)."""

from __future__ import annotations

import numpy as np

from protenix_ms.chem.atom_table import AtomTable, concatenate
from protenix_ms.chem.ccd import Component, ComponentDictionary
from protenix_ms.chem.leaving import lost_atoms
from protenix_ms.chem.residue import residue_table
from protenix_ms.errors import ChemistryError
from protenix_ms.job import Modification, PolymerKind

_PROTEIN = (
    "A ALA R ARG N ASN D ASP C CYS Q GLN E GLU G GLY H HIS I ILE L LEU K LYS M MET F PHE P PRO "
    "S SER T THR W TRP Y TYR V VAL X UNK"
)
_DNA = "A DA G DG C DC T DT U DU I DI N DN X DN"
_RNA = "A A G G C C U U I I N N X N"


def _pairs(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2]))


#: One-letter code -> component; U in DNA is deoxyuridine, N and X are the unknown residue.
RESIDUES = {"protein": _pairs(_PROTEIN), "dna": _pairs(_DNA), "rna": _pairs(_RNA)}


def build_polymer(
    kind: PolymerKind,
    sequence: str,
    modifications: tuple[Modification, ...],
    ccd: ComponentDictionary,
    upstream_quirks: bool = False,
) -> AtomTable:
    """The atoms of one copy of a chain, leaving atoms removed, polymer bonds made.

    `res_id` is 1-based; `chain_id` and `entity_id` are "" for the caller to fill; `hetero` is
    False; `charge` is the reference conformer's (upstream `ref_charge`); `coord` is zero.

    Args:
        upstream_quirks: of caps, bond only ACE and NME, and keep the OXT of the residue before
            NME, whose carbon then has five bonds.

    Raises:
        ChemistryError: an unknown letter or component, or a modification outside the chain.
    """
    codes = residue_codes(kind, sequence, modifications, ccd)
    chain = concatenate(
        [residue_table(ccd[code], i + 1, hetero=False) for i, code in enumerate(codes)]
    )
    polymer_bonds = _polymer_bonds(chain, codes, ccd, upstream_quirks)
    cap_bonds = _upstream_cap_bonds(chain, codes) if upstream_quirks else (
        _cap_bonds(chain, codes, ccd) if kind == "protein" else [])
    made = np.array(polymer_bonds + cap_bonds, np.int32).reshape(-1, 2)
    single = np.ones((len(made), 1), np.int32)
    bonds = np.concatenate([chain.bonds, np.concatenate([made, single], axis=1)])
    chain = chain.with_columns(bonds=bonds)
    costly = polymer_bonds if upstream_quirks else [*polymer_bonds, *cap_bonds]
    count: dict[int, int] = {}
    for row in (row for pair in costly for row in pair):
        count[row] = count.get(row, 0) + 1
    chain = chain[~lost_atoms(chain, count, ccd)]
    return chain[~_lost_at_gaps(chain, codes, ccd)]


def residue_codes(
    kind: PolymerKind,
    sequence: str,
    modifications: tuple[Modification, ...],
    ccd: ComponentDictionary,
) -> list[str]:
    """Component of every residue.

    Raises:
        ChemistryError: see `build_polymer`.
    """
    letters = RESIDUES[kind]
    if not sequence:
        raise ChemistryError(f"this {kind} sequence is empty", fix="give at least one residue")
    codes = []
    for position, letter in enumerate(sequence, 1):
        if letter not in letters:
            upper = f"write '{letter.upper()}'" if letter.upper() in letters else ""
            raise ChemistryError(
                f"'{letter}' is not a {kind} residue (known: {' '.join(letters)})",
                where=f"position {position}",
                fix=upper or "use X for an unknown residue, or a modification with a CCD code",
            )
        codes.append(letters[letter])
    for modification in modifications:
        if not 1 <= modification.position <= len(codes):
            raise ChemistryError(
                f"modification {modification.code} stands outside the chain of {len(codes)}",
                where=f"position {modification.position}",
                fix="positions count from 1",
            )
        try:
            ccd[modification.code]
        except ChemistryError as error:
            place = f"modification at position {modification.position}"
            raise ChemistryError(error.message, where=place, fix=error.fix) from None
        codes[modification.position - 1] = modification.code
    return codes


def _row(chain: AtomTable, res_id: int, name: str) -> int | None:
    """Row of an atom of a residue, None when absent."""
    rows = np.flatnonzero((chain.res_id == res_id) & (chain.atom_name == name))
    return int(rows[0]) if len(rows) else None


def _bond(chain: AtomTable, res_id: int, first: str, second: str) -> list[tuple[int, int]]:
    """The bond first(res_id) - second(res_id + 1), or nothing when an atom is absent."""
    ends = _row(chain, res_id, first), _row(chain, res_id + 1, second)
    return [] if None in ends else [ends]


def _polymer_bonds(
    chain: AtomTable, codes: list[str], ccd: ComponentDictionary, upstream_quirks: bool
) -> list[tuple[int, int]]:
    """C-N and O3'-P between neighbours whose component types belong together."""
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
    """Names of the nitrogen and the carbon with which a residue joins its neighbours.

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
    """C-N between neighbours of which one is no peptide by its type: caps, statine, beta-alanine.

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


def _upstream_cap_bonds(chain: AtomTable, codes: list[str]) -> list[tuple[int, int]]:
    """Bonds of ACE at the start and NME at the end, the only caps that upstream bonds."""
    pairs = _bond(chain, 1, "C", "N") if codes[0] == "ACE" else []
    return pairs + (_bond(chain, len(codes) - 1, "C", "N") if codes[-1] == "NME" else [])


def unbonded_neighbours(chain: AtomTable) -> list[int]:
    """Positions whose residue is not bonded to the next one, in one copy of a chain."""
    ends = chain.res_id[chain.bonds[:, :2]]
    joined = set(ends.min(axis=1)[np.abs(ends[:, 0] - ends[:, 1]) == 1].tolist())
    return [i for i in range(1, int(chain.res_id.max())) if i not in joined]


def _lost_at_gaps(chain: AtomTable, codes: list[str], ccd: ComponentDictionary) -> np.ndarray:
    """Leaving atoms of both residues at a pair of neighbours without a bond.

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
