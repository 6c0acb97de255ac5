# SPDX-License-Identifier: Apache-2.0
"""Checks of a job against the component dictionary: codes, caps, atoms of bonds and constraints."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager

from protenix_ms.chem.ccd import Component, ComponentDictionary
from protenix_ms.errors import ChemistryError, InputError
from protenix_ms.io.entities import check_entities, residues_of
from protenix_ms.job import AtomAddress, Contact, CovalentBond, Job, Ligand, Polymer

MAX_UNNAMED_LIGANDS = 99  # upstream names them l01 to l99


def validate(job: Job, ccd: ComponentDictionary) -> None:
    """Refuse a job from which no structure can be built.

    Args:
        job: a job as `read_jobs` returns it.
        ccd: the dictionary of components.

    Raises:
        InputError: an unknown component, a modification that is no residue, SMILES that RDKit
            cannot read, a bond or contact to an atom its residue does not have.
    """
    where = f"{job.source} {job.name!r}".strip()
    if job.own_components:
        from protenix_ms.chem.own_components import dictionary_of  # RDKit, as below

        with _at(f"{where}, userCCD"):
            ccd = dictionary_of(job, ccd)
    places = [f"{where}, entity {number}" for number in range(1, len(job.entities) + 1)]
    check_entities(job.entities, places, where)
    for place, entity in zip(places, job.entities):
        if isinstance(entity, Polymer):
            _check_modifications(entity, place, ccd)
        elif entity.codes:
            for number, code in enumerate(entity.codes, 1):
                _component(code, f"{place}, position {number}", ccd)
        else:
            _check_molecule(entity, place)
    unnamed = {number for number, entity in job.numbered_entities()
               if isinstance(entity, Ligand) and not entity.codes}
    if len(unnamed) > MAX_UNNAMED_LIGANDS:
        raise InputError(f"the job has {len(unnamed)} different SMILES and file ligands",
                         where=where, fix=f"the limit is {MAX_UNNAMED_LIGANDS}; use CCD codes "
                         "where they exist")
    links: list[tuple[str, CovalentBond | Contact]] = [
        *((f"covalent bond {n}", bond) for n, bond in enumerate(job.bonds, 1)),
        *((f"contact {n}", contact) for n, contact in enumerate(job.contacts, 1))]
    for name, link in links:
        for end in (link.first, link.second):
            _check_atom(job, end, f"{where}, {name}", ccd)


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Turn an error of chemistry into one of the input, with the place in the job."""
    try:
        yield
    except ChemistryError as error:
        place = ", ".join(filter(None, (where, error.where)))
        raise InputError(error.message, where=place, fix=error.fix) from None


def _component(code: str, where: str, ccd: ComponentDictionary) -> Component:
    with _at(where):
        return ccd[code]


def _check_modifications(chain: Polymer, where: str, ccd: ComponentDictionary) -> None:
    """Refuse what is no residue of this kind of chain; caps and the like count as residues.

    A component without a kind of polymer may stand at an end if it can be bonded there, and inside
    of a protein if it has C and N, as statine and beta-alanine.
    """
    family = {"protein"} if chain.kind == "protein" else {"dna", "rna"}
    for change in chain.modifications:
        place = f"{where}, position {change.position}"
        component = _component(change.code, place, ccd)
        names = set(component.atom_name.tolist())
        cap = change.position in (1, len(chain.sequence)) and {"C", "N", "P", "O3'"} & names
        inside = chain.kind == "protein" and {"C", "N"} <= names
        if component.mol_type not in family and not (
                component.mol_type == "ligand" and (cap or inside)):
            name = "protein" if chain.kind == "protein" else "nucleic acid"
            raise InputError(
                f"{change.code} ({component.type.lower()}) is no residue of a {name} chain",
                where=place,
                fix="give a modified residue, or write it as a ligand with a covalent bond")


def _check_molecule(ligand: Ligand, where: str) -> None:
    """Read a SMILES or a ligand file, so that a bad one is refused before a model is loaded."""
    # RDKit: 0.3 s that other jobs need not wait
    from protenix_ms.chem.ligand import molecule_from_smiles
    from protenix_ms.chem.ligand_file import molecule_from_file

    with _at(where):
        if ligand.file is not None:
            molecule_from_file(ligand.file)
        elif ligand.smiles is not None:
            molecule_from_smiles(ligand.smiles)


def _check_atom(job: Job, end: AtomAddress, where: str, ccd: ComponentDictionary) -> None:
    """Check names of atoms of polymers and CCD ligands; others are checked when they are built."""
    entity = job.entities[end.entity - 1]
    codes = residues_of(entity) if isinstance(entity, Polymer) else entity.codes
    if end.atom is None or not codes:
        return
    names = ccd[codes[end.position - 1]].atom_name.tolist()
    if end.atom not in names:
        close = difflib.get_close_matches(str(end.atom), names, len(names))
        shown = list(dict.fromkeys([*close, *names]))[:12]
        raise InputError(
            f"{codes[end.position - 1]} has no atom {str(end.atom)!r}",
            where=f"{where}, entity {end.entity}, position {end.position}",
            fix=f"it has {', '.join(shown)}{' and others' if len(names) > 12 else ''}")
