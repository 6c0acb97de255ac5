# SPDX-License-Identifier: Apache-2.0
"""What every atom is: molecule type, chain and copy, centre and representative roles.

Adds columns to `AtomTable.extra` (upstream: `AddAtomArrayAnnot`):
``mol_type`` type of its residue by the CCD ("protein", "dna", "rna", "ligand"); ``chain_type``
the most frequent ``mol_type`` of its chain; ``standard`` part of a whole-residue token;
``centre_atom_mask``, ``distogram_rep_atom_mask``, ``plddt_m_rep_atom_mask``,
``modified_res_mask``; ``canonical_resname`` the standard residue it counts as;
``tokatom_idx`` its place among the atoms of its standard residue; ``asym_id``,
``entity_index``, ``sym_id``; ``ref_space_uid`` number of its residue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.constants.residue_atoms import (
    DISTOGRAM_ATOM,
    NUCLEIC_CENTRE_ATOM,
    PROTEIN_CENTRE_ATOM,
    RESIDUE_ATOMS,
)
from protenix_ms.constants.restypes import (
    DNA_RESTYPES,
    PROTEIN_LETTERS,
    PROTEIN_RESTYPES,
    RNA_RESTYPES,
    STANDARD_RESIDUES,
)
from protenix_ms.errors import ChemistryError
from protenix_ms.features.lookup import map_pairs, map_unique, spread
from protenix_ms.typing import Array, Bool, Int, Shaped

UNKNOWN_ATOM = -1


def annotate(
    atoms: AtomTable, ccd: ComponentDictionary, polymer_entities: Collection[str] | None = None
) -> AtomTable:
    """The table with all annotation columns of this module.

    Args:
        polymer_entities: entities outside of it are ligands whatever their components say, as in
            training data; None, as in prediction, types every residue by its component.

    Every residue is typed by its component, ligands included: upstream gives ligand entities a
    placeholder sequence, so a ligand whose CCD type is peptide-linking (4HT, ASA) or a plain
    ``CCD_ALA`` counts as protein (reference trap H19).

    Raises:
        ChemistryError: a standard residue holds an atom that it should not have.
    """
    mol_type = map_unique(atoms.res_name, ccd.mol_type, "U7")
    if polymer_entities is not None:
        in_polymer = np.isin(atoms.entity_id, list(polymer_entities))
        mol_type = np.where(in_polymer, mol_type, "ligand")
    standard = np.isin(atoms.res_name, STANDARD_RESIDUES) & (mol_type != "ligand")
    atoms = atoms.with_columns(mol_type=mol_type, standard=standard)
    return atoms.with_columns(
        chain_type=_chain_type(atoms),
        canonical_resname=_canonical_resname(atoms, ccd),
        tokatom_idx=_tokatom_idx(atoms),
        modified_res_mask=(~np.isin(atoms.res_name, STANDARD_RESIDUES) & (mol_type != "ligand")),
        **_representatives(atoms, standard),
        **_identities(atoms),
    )


def chain_starts(atoms: AtomTable) -> Int[Array, "c"]:
    """First row of every chain."""
    new = np.ones(len(atoms), bool)
    new[1:] = atoms.chain_id[1:] != atoms.chain_id[:-1]
    return np.flatnonzero(new)


def _chain_type(atoms: AtomTable) -> Shaped[Array, "a"]:
    """Majority of the atoms' types in each chain; a tie goes to the type seen first."""
    starts = chain_starts(atoms)
    chains = np.split(atoms.extra["mol_type"], starts[1:])
    types = [Counter(chain.tolist()).most_common(1)[0][0] for chain in chains]
    return spread(starts, np.array(types, "U7"), len(atoms))


def _canonical_resname(atoms: AtomTable, ccd: ComponentDictionary) -> Shaped[Array, "a"]:
    """Three-letter name in the canonical sequence; what maps to no standard residue is unknown."""
    names = {
        "protein": lambda code: PROTEIN_LETTERS.get(ccd[code].one_letter or "X", "UNK"),
        "dna": lambda code: _known("D" + (ccd[code].one_letter or "N"), DNA_RESTYPES, "DN"),
        "rna": lambda code: _known(ccd[code].one_letter or "N", RNA_RESTYPES, "N"),
        "ligand": lambda code: "UNK",
    }
    mol_type = atoms.extra["mol_type"]
    result = np.full(len(atoms), "UNK", "U3")
    for kind, canonical in names.items():
        rows = mol_type == kind
        if rows.any():
            result[rows] = map_unique(atoms.res_name[rows], canonical, "U3")
    return result


def _known(name: str, allowed: tuple[str, ...], unknown: str) -> str:
    return name if name in allowed else unknown


def _tokatom_idx(atoms: AtomTable) -> Int[Array, "a"]:
    """Place of the atom in `RESIDUE_ATOMS`; 0 for atoms of anything but standard residues."""

    def place(residue: str, atom: str) -> int:
        names = RESIDUE_ATOMS.get(residue, (atom,))
        return names.index(atom) if atom in names else UNKNOWN_ATOM

    found = np.where(
        atoms.extra["standard"], map_pairs(atoms.res_name, atoms.atom_name, place), 0
    )
    if (found == UNKNOWN_ATOM).any():
        row = int(np.argmin(found))
        raise ChemistryError(
            f"standard residue {atoms.res_name[row]} has an unknown atom {atoms.atom_name[row]}",
            where=f"chain {atoms.chain_id[row]}, position {atoms.res_id[row]}",
            fix="name atoms as the chemical component dictionary does",
        )
    return found


def _representatives(
    atoms: AtomTable, standard: Bool[Array, "a"]
) -> dict[str, Shaped[Array, "a"]]:
    """Centre (SI 2.6), distogram (SI 4.4) and pLDDT (SI 4.3.1) atoms, 0/1 per atom."""
    is_protein = np.isin(atoms.res_name, PROTEIN_RESTYPES)
    alpha, c1 = atoms.atom_name == PROTEIN_CENTRE_ATOM, atoms.atom_name == NUCLEIC_CENTRE_ATOM
    centre = np.where(is_protein, alpha, c1) | ~standard
    is_distogram = map_pairs(
        atoms.res_name, atoms.atom_name, lambda res, atom: DISTOGRAM_ATOM.get(res) == atom
    ).astype(bool)
    distogram = is_distogram | ~standard
    starts = atoms.residue_starts()
    if distogram.sum() != centre.sum() and len(starts):  # C-beta lost: the first atom stands in
        without = ~np.logical_or.reduceat(distogram, starts)
        distogram[starts[without]] = True
    return {
        "centre_atom_mask": centre.astype(np.int64),
        "distogram_rep_atom_mask": distogram.astype(np.int64),
        "plddt_m_rep_atom_mask": (standard & (alpha | c1)).astype(np.int64),
    }


def _identities(atoms: AtomTable) -> dict[str, Int[Array, "a"]]:
    """Numbers of chains, entities, copies and residues, 0-based.

    Entities are numbered in the order of their labels as text ("10" before "2"), as upstream
    does: only equality matters to the model, but the order shows in recordings (trap H18).
    """
    starts = chain_starts(atoms)
    entity = np.unique(atoms.entity_id, return_inverse=True)[1]
    seen: Counter = Counter()
    copies = []
    for label in entity[starts].tolist():
        copies.append(seen[label])
        seen[label] += 1
    asym = spread(starts, np.arange(len(starts)), len(atoms))
    stride = int(atoms.res_id.max(initial=0)) + 1
    residue = np.unique(asym * stride + atoms.res_id, return_inverse=True)[1]
    return {
        "asym_id": asym,
        "entity_index": entity,
        "sym_id": spread(starts, np.array(copies, np.int64), len(atoms)),
        "ref_space_uid": residue,
    }
