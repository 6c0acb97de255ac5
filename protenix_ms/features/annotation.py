# SPDX-License-Identifier: Apache-2.0
"""Annotate atoms: molecule type, chain and copy, centre and representative roles.

Upstream: `AddAtomArrayAnnot`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from protenix_ms.chem.atom_table import AtomTable, column_of
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.columns import map_pairs, map_unique
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
from protenix_ms.typing import Array, Bool, Int, Shaped

UNKNOWN_ATOM = -1


@dataclass(frozen=True, kw_only=True)
class AnnotatedAtoms(AtomTable):
    """Atoms and what the model needs to know of each.

    Attributes:
        mol_type: type of the residue by the CCD ("protein", "dna", "rna", "ligand").
        chain_type: the most frequent `mol_type` of the chain.
        standard: part of a standard residue of a polymer, which is one token.
        canonical_resname: name of the standard residue that the residue counts as.
        tokatom_idx: place among the atoms of the standard residue.
        centre_atom_mask, distogram_rep_atom_mask, plddt_m_rep_atom_mask: 1 for the atoms that
            stand for their token (SI 2.6), in the distogram (SI 4.4) and in pLDDT (SI 4.3.1).
        modified_res_mask: True in modified residues of polymers.
        asym_id, entity_index, sym_id: number of the chain, the entity, the copy of the entity.
        ref_space_uid: number of the residue.
        split: True in standard residues that are split into single-atom tokens all the same.
        mol_id: molecule, that is chains joined by bonds (`molecules.assign_molecules`).
        entity_mol_id: kind of the molecule.
        mol_atom_index: place of the atom in its molecule.
    """

    mol_type: Shaped[Array, "a"]
    chain_type: Shaped[Array, "a"]
    standard: Bool[Array, "a"]
    canonical_resname: Shaped[Array, "a"]
    tokatom_idx: Int[Array, "a"]
    centre_atom_mask: Int[Array, "a"]
    distogram_rep_atom_mask: Int[Array, "a"]
    plddt_m_rep_atom_mask: Int[Array, "a"]
    modified_res_mask: Bool[Array, "a"]
    asym_id: Int[Array, "a"]
    entity_index: Int[Array, "a"]
    sym_id: Int[Array, "a"]
    ref_space_uid: Int[Array, "a"]
    split: Bool[Array, "a"] = column_of(False)
    mol_id: Int[Array, "a"] = column_of(-1)
    entity_mol_id: Int[Array, "a"] = column_of(-1)
    mol_atom_index: Int[Array, "a"] = column_of(-1)

    def resolved_centres(self) -> Int[Array, "r"]:
        """List the rows of centre atoms with coordinates."""
        return np.flatnonzero(self.is_resolved & (self.centre_atom_mask > 0))


def annotate(
    atoms: AtomTable, ccd: ComponentDictionary, polymer_entities: Collection[str] | None = None
) -> AnnotatedAtoms:
    """Annotate a table; molecules are left to `molecules.assign_molecules`.

    Every residue is typed by its component, ligands included: upstream gives ligand entities a
    placeholder sequence, so a ligand whose CCD type is peptide-linking (4HT, ASA) or a plain
    ``CCD_ALA`` counts as protein.

    Args:
        polymer_entities: entities outside of it are ligands whatever their components say, as in
            training data; None, as in prediction, types every residue by its component.

    Raises:
        ChemistryError: a standard residue holds an atom that it should not have.
    """
    mol_type = map_unique(atoms.res_name, ccd.mol_type, "U7")
    if polymer_entities is not None:
        in_polymer = np.isin(atoms.entity_id, list(polymer_entities))
        mol_type = np.where(in_polymer, mol_type, "ligand")
    polymer, known = mol_type != "ligand", np.isin(atoms.res_name, STANDARD_RESIDUES)
    return AnnotatedAtoms(
        **vars(atoms),
        mol_type=mol_type,
        chain_type=_chain_types(atoms, mol_type),
        standard=polymer & known,
        canonical_resname=_canonical_names(atoms, mol_type, ccd),
        tokatom_idx=_places_in_residue(atoms, polymer & known),
        modified_res_mask=polymer & ~known,
        **_representatives(atoms, polymer & known),
        **_identities(atoms),
    )


def _chain_types(atoms: AtomTable, mol_type: Shaped[Array, "a"]) -> Shaped[Array, "a"]:
    """Give each atom the commonest type of its chain; a tie goes to the type seen first."""
    types = mol_type.copy()
    for rows in atoms.chains():
        types[rows] = Counter(mol_type[rows].tolist()).most_common(1)[0][0]
    return types


def _canonical_names(
    atoms: AtomTable, mol_type: Shaped[Array, "a"], ccd: ComponentDictionary
) -> Shaped[Array, "a"]:
    """Name residues as in the canonical sequence; those without a standard parent are unknown."""

    def nucleotide(prefix: str, letter: str, allowed: tuple[str, ...]) -> str:
        return prefix + letter if prefix + letter in allowed else prefix + "N"

    names = {
        "protein": lambda code: PROTEIN_LETTERS.get(ccd[code].one_letter or "X", "UNK"),
        "dna": lambda code: nucleotide("D", ccd[code].one_letter, DNA_RESTYPES),
        "rna": lambda code: nucleotide("", ccd[code].one_letter, RNA_RESTYPES),
    }
    result = np.full(len(atoms), "UNK", "U3")
    for kind, canonical in names.items():
        rows = mol_type == kind
        if rows.any():
            result[rows] = map_unique(atoms.res_name[rows], canonical, "U3")
    return result


def _places_in_residue(atoms: AtomTable, standard: Bool[Array, "a"]) -> Int[Array, "a"]:
    """Find the place of atoms in `RESIDUE_ATOMS`; 0 outside of standard residues."""

    def place(residue: str, atom: str) -> int:
        names = RESIDUE_ATOMS.get(residue, (atom,))
        return names.index(atom) if atom in names else UNKNOWN_ATOM

    places = np.where(standard, map_pairs(atoms.res_name, atoms.atom_name, place), 0)
    if (places == UNKNOWN_ATOM).any():
        row = int(np.argmin(places))
        raise ChemistryError(
            f"standard residue {atoms.res_name[row]} has an unknown atom {atoms.atom_name[row]}",
            where=f"chain {atoms.chain_id[row]}, position {atoms.res_id[row]}",
            fix="name atoms as the chemical component dictionary does",
        )
    return places


def _representatives(atoms: AtomTable, standard: Bool[Array, "a"]) -> dict[str, Int[Array, "a"]]:
    """Centre (SI 2.6), distogram (SI 4.4) and pLDDT (SI 4.3.1) atoms, 0/1 per atom."""
    is_protein = np.isin(atoms.res_name, PROTEIN_RESTYPES)
    alpha, c1 = atoms.atom_name == PROTEIN_CENTRE_ATOM, atoms.atom_name == NUCLEIC_CENTRE_ATOM
    centre = np.where(is_protein, alpha, c1) | ~standard
    distogram = ~standard | map_pairs(
        atoms.res_name, atoms.atom_name, lambda res, atom: DISTOGRAM_ATOM.get(res) == atom
    ).astype(bool)
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
    """Number chains, entities, copies and residues from 0.

    Entities are numbered in the order of their labels as text ("10" before "2"), as upstream
    does: only equality matters to the model.
    """
    starts = atoms.chain_starts()
    asym = np.repeat(np.arange(len(starts)), np.diff([*starts, len(atoms)]))
    entity = np.unique(atoms.entity_id, return_inverse=True)[1]
    seen: Counter[int] = Counter()
    copies = np.zeros(len(starts), np.int64)
    for number, label in enumerate(entity[starts].tolist()):
        copies[number] = seen[label]
        seen[label] += 1
    stride = int(atoms.res_id.max(initial=0)) + 1
    return {
        "asym_id": asym,
        "entity_index": entity,
        "sym_id": copies[asym],
        "ref_space_uid": np.unique(asym * stride + atoms.res_id, return_inverse=True)[1],
    }
