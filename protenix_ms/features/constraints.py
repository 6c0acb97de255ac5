# SPDX-License-Identifier: Apache-2.0
"""Distance constraints of a job: contacts and a pocket (upstream `generate_from_json`).

The constraint model of Protenix v0.5 reads them. An atom contact splits the standard residues it
names into one token per atom; alignment and template columns follow by residue number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protenix_ms.chem.covalent import addressed_atoms
from protenix_ms.errors import ChemistryError
from protenix_ms.features.annotation import AnnotatedAtoms
from protenix_ms.features.optional import empty_constraint_features
from protenix_ms.features.tokens import TokenTable
from protenix_ms.geometry.distances import point_distances
from protenix_ms.job import AtomAddress, Contact, Job
from protenix_ms.typing import Array, Float, Int

CONTACT, ATOM_CONTACT, POCKET = "contact", "contact_atom", "pocket"


@dataclass(frozen=True)
class Restraint:
    """One constraint, on rows of the atoms.

    Attributes:
        kind: `CONTACT` of tokens, `ATOM_CONTACT`, or one residue of a `POCKET`.
        ends: what is held, in words: chain, component, position, atom. A pocket's first is the
            binder chain.
        first, second: atoms whose least distance counts, one each but for a binder chain, whose
            token centres count.
        limits: least and largest distance, angstrom.
    """

    kind: str
    ends: tuple[str, str]
    first: Int[Array, "a"]
    second: Int[Array, "b"]
    limits: tuple[float, float]

    def measure(self, coordinates: Float[Array, "atoms 3"]) -> dict[str, object]:
        """Return the constraint with its distance in these coordinates (angstrom)."""
        apart = float(point_distances(coordinates[self.first], coordinates[self.second]).min())
        least, largest = self.limits
        return {"kind": self.kind, "first": self.ends[0], "second": self.ends[1],
                "min_distance": least, "max_distance": largest, "distance": round(apart, 3),
                "satisfied": least <= apart <= largest}


def find_restraints(job: Job, atoms: AnnotatedAtoms) -> tuple[Restraint, ...]:
    """Find the atoms of a job's constraints.

    Raises:
        ChemistryError: an address without atoms, as of a leaving atom that a bond has cost.
    """
    restraints = [_contact(atoms, contact, f"contact {number}")
             for number, contact in enumerate(job.contacts, 1)]
    if job.pocket is not None:
        entity, copy = job.pocket.binder
        binder = np.flatnonzero((atoms.entity_id == str(entity)) & (atoms.copy_id == copy))
        centres = binder[atoms.centre_atom_mask[binder] > 0]
        chain = f"chain {atoms.chain_id[binder[0]]}"
        for number, residue in enumerate(job.pocket.residues, 1):
            row = _row(atoms, residue, f"pocket, contact_residues {number}")
            restraints.append(Restraint(POCKET, (chain, _words(atoms, row, residue)), centres,
                                   np.array([row]), (0.0, job.pocket.max_distance)))
    return tuple(restraints)


def _contact(atoms: AnnotatedAtoms, contact: Contact, place: str) -> Restraint:
    ends = contact.first, contact.second
    kind = CONTACT if any(end.atom is None for end in ends) else ATOM_CONTACT
    first, second = (_row(atoms, end, place) for end in ends)
    words = _words(atoms, first, contact.first), _words(atoms, second, contact.second)
    return Restraint(kind, words, np.array([first]), np.array([second]),
                     (contact.min_distance, contact.max_distance))


def _row(atoms: AnnotatedAtoms, address: AtomAddress, place: str) -> int:
    """Find the atom of an address, or the representative atom of its residue.

    That is C-alpha, C1', or the first atom of other components. Upstream draws a token at random.
    """
    residue = np.flatnonzero((atoms.entity_id == str(address.entity))
                             & (atoms.copy_id == address.copy)
                             & (atoms.res_id == address.position))
    if address.atom is None:
        if not len(residue):
            raise ChemistryError(f"there is no position {address.position}",
                                 where=f"{place}, entity {address.entity}",
                                 fix="positions count from 1")
        centres = np.isin(atoms.atom_name[residue], ("CA", "C1'"))
        polymer = atoms.mol_type[residue] != "ligand"
        return int(residue[np.argmax(centres & polymer)])
    if address.atom == "SE" and len(residue) and atoms.res_name[residue[0]] == "MET":
        return int(residue[atoms.atom_name[residue] == "SD"][0])  # selenomethionine, renamed
    return int(addressed_atoms(atoms, address, place)[0])


def _words(atoms: AnnotatedAtoms, row: int, address: AtomAddress) -> str:
    atom = "" if address.atom is None else f" {atoms.atom_name[row]}"
    return f"{atoms.chain_id[row]} {atoms.res_name[row]} {atoms.res_id[row]}{atom}"


def split_residues(atoms: AnnotatedAtoms, rows: Int[Array, "k"]) -> AnnotatedAtoms:
    """Split the standard residues of some atoms into one token per atom (`expand_tokens`).

    Their atoms all become token centres and representative atoms. Other residues stay.
    """
    split = np.isin(atoms.ref_space_uid, atoms.ref_space_uid[rows]) & atoms.standard
    return atoms.with_columns(
        split=split,
        centre_atom_mask=np.where(split, 1, atoms.centre_atom_mask),
        tokatom_idx=np.where(split, 0, atoms.tokatom_idx),
        distogram_rep_atom_mask=np.where(split, 1, atoms.distogram_rep_atom_mask),
    )


def split_contacts(atoms: AnnotatedAtoms, restraints: Sequence[Restraint]) -> AnnotatedAtoms:
    """Split the standard residues that atom contacts name."""
    rows = [rows for r in restraints if r.kind == ATOM_CONTACT for rows in (r.first, r.second)]
    return split_residues(atoms, np.concatenate(rows)) if rows else atoms


def constraint_features(
    restraints: Sequence[Restraint], tokens: TokenTable
) -> dict[str, Float[Array, "n n c"]]:
    """Write `constraint_feature/*` (see `features.optional`), distances in angstrom.

    The least distance counts between atoms only: the model has never seen one between tokens.
    """
    features = empty_constraint_features(len(tokens))
    for kind in dict.fromkeys(restraint.kind for restraint in restraints):
        name = f"constraint_feature/{kind}"
        feature = features[name] = np.array(features[name])
        for restraint in (r for r in restraints if r.kind == kind):
            least, largest = restraint.limits
            first, second = (tokens.atom_to_token[rows]
                             for rows in (restraint.first, restraint.second))
            if kind == POCKET:
                feature[first, second, 0] = largest
                continue
            pair = (least if kind == ATOM_CONTACT else 0.0, largest)
            feature[first, second] = feature[second, first] = pair
    return features
