# SPDX-License-Identifier: Apache-2.0
"""Checks of a job against the component dictionary: codes, caps, atoms of bonds and constraints."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from protenix_ms.constants.restypes import SEQUENCE_LETTERS
from protenix_ms.errors import InputError
from protenix_ms.io.entities import check_entities
from protenix_ms.job import AtomAddress, Job, Ligand, Polymer
from protenix_ms.typing import Array


@runtime_checkable
class _Component(Protocol):
    atom_name: Array
    type: str


@runtime_checkable
class Components(Protocol):
    """What `validate` needs of `protenix_ms.chem.ccd.ComponentDictionary`."""

    def __contains__(self, code: object) -> bool: ...
    def __getitem__(self, code: str) -> _Component: ...
    def __iter__(self) -> Iterator[str]: ...


MAX_UNNAMED_LIGANDS = 99  # upstream names them l01 to l99


def validate(job: Job, ccd: Components) -> None:
    """Refuse what no structure can be built from.

    Args:
        job: a job as `read_jobs` returns it.
        ccd: the dictionary of components.

    Raises:
        InputError: an unknown component, a modification that is no residue, SMILES that RDKit
            cannot read, a bond or contact to an atom its residue does not have.
    """
    places = [f"{_where(job)}, entity {number}" for number in range(1, len(job.entities) + 1)]
    check_entities(job.entities, places, _where(job))
    unnamed = set()
    for place, (entity_number, entity) in zip(places, job.numbered_entities()):
        if isinstance(entity, Polymer):
            _check_modifications(entity, place, ccd)
            continue
        for number, code in enumerate(entity.codes, 1):
            _known(code, f"{place}, position {number}", ccd)
        if entity.smiles is not None:
            _check_smiles(entity.smiles, place)
        if not entity.codes:
            unnamed.add(entity_number)
    if len(unnamed) > MAX_UNNAMED_LIGANDS:
        raise InputError(
            f"the job has {len(unnamed)} different SMILES and file ligands",
            where=_where(job),
            fix=f"the limit is {MAX_UNNAMED_LIGANDS}; use CCD codes where they exist",
        )
    for number, bond in enumerate(job.bonds, 1):
        for end in (bond.first, bond.second):
            _check_atom(job, end, f"{_where(job)}, covalent bond {number}", ccd)
    for number, contact in enumerate(job.contacts, 1):
        for end in (contact.first, contact.second):
            _check_atom(job, end, f"{_where(job)}, contact {number}", ccd)


def _where(job: Job) -> str:
    return f"{job.source} {job.name!r}".strip()


def _known(code: str, where: str, ccd: Components) -> _Component:
    if code in ccd:
        return ccd[code]
    upper = code.upper()
    close = [upper] if upper in ccd else difflib.get_close_matches(upper, list(ccd), 1, 0.6)
    hint = f"did you mean {close[0]!r}? Otherwise " if close else ""
    raise InputError(
        f"no component {code!r} in the dictionary",
        where=where,
        fix=f"{hint}give the molecule as SMILES or as a file",
    )


def _check_modifications(chain: Polymer, where: str, ccd: Components) -> None:
    ends = (1, len(chain.sequence))
    family = {"protein": "protein"}.get(chain.kind, "nucleic acid")
    for change in chain.modifications:
        place = f"{where}, position {change.position}"
        component = _known(change.code, place, ccd)
        found = _family(component.type.upper())
        cap = change.position in ends and {"C", "N", "P", "O3'"} & set(component.atom_name)
        if found != family and not (found is None and cap):
            raise InputError(
                f"{change.code} ({component.type.lower()}) is no residue of a {family} chain",
                where=place,
                fix="give a modified residue, or write it as a ligand with a covalent bond",
            )


def _family(kind: str) -> str | None:
    """Polymer that residues of a `_chem_comp.type` belong to; None for caps and ligands."""
    if "PEPTIDE" in kind and kind != "PEPTIDE-LIKE":
        return "protein"
    return "nucleic acid" if "DNA" in kind or "RNA" in kind else None


def _check_smiles(smiles: str, where: str) -> None:
    from rdkit import Chem, rdBase  # 0.3 s that jobs without SMILES need not wait

    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or molecule.GetNumAtoms() == 0:
        raise InputError(
            f"{smiles[:60]!r} is not valid SMILES", where=where, fix="check brackets and valences"
        )


def _check_atom(job: Job, end: AtomAddress, where: str, ccd: Components) -> None:
    """Atom names of polymers and CCD ligands; those of SMILES and files are checked when built."""
    entity = job.entities[end.entity - 1]
    if end.atom is None or (isinstance(entity, Ligand) and not entity.codes):
        return
    if isinstance(entity, Ligand):
        code = entity.codes[end.position - 1]
    else:
        code = SEQUENCE_LETTERS[entity.kind][entity.sequence[end.position - 1]]
        code = next((m.code for m in entity.modifications if m.position == end.position), code)
    names = ccd[code].atom_name.tolist()
    if end.atom not in names:
        close = difflib.get_close_matches(str(end.atom), names, len(names))
        shown = list(dict.fromkeys([*close, *names]))[:12]
        raise InputError(
            f"{code} has no atom {str(end.atom)!r}",
            where=f"{where}, entity {end.entity}, position {end.position}",
            fix=f"it has {', '.join(shown)}{' ...' if len(names) > 12 else ''}",
        )
