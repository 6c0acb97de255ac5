# SPDX-License-Identifier: Apache-2.0
"""Bonds and constraints of a Protenix job: addresses of atoms checked against the entities.

Follows upstream's `SampleDictToFeatures.add_bonds_between_entities` and
`ConstraintFeatureGenerator`; keys of both generations are read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from protenix_ms.errors import InputError
from protenix_ms.io.entities import length_of, make_bonds
from protenix_ms.io.json_model import (
    FieldError,
    JsonModel,
    Whole,
    check_range,
    digits_as_number,
    name_type,
    refuse_blank,
    unsupported,
    within,
)
from protenix_ms.job import AtomAddress, Contact, CovalentBond, Entity, Ligand, Pocket

_SIDES = {"1": "left", "2": "right"}


def _check_atom(atom: Any) -> Any:
    """Refuse what is neither a name nor a number of an atom."""
    if type(atom) not in (str, int):
        raise FieldError(f"{{name}} is {name_type(atom)}", fix="write text")
    if isinstance(atom, str) and not re.fullmatch("[!-~]{1,8}", refuse_blank(atom)):
        raise FieldError(f"{atom[:40]!a} is not an atom name",
                         fix="write it as in the CCD, like CA")
    return atom


_Atom = Annotated[Any, BeforeValidator(digits_as_number), AfterValidator(_check_atom)]
_Distance = Annotated[float, within(0, 1000)]
_Limit = Annotated[float, within(0.001, 1000)]  # positive: at 0 no pair could be satisfied


class _Ends(JsonModel):
    """Two atoms or residues."""

    entity1: Whole
    copy1: Whole | None = None
    position1: Whole
    atom1: _Atom = None
    entity2: Whole
    copy2: Whole | None = None
    position2: Whole
    atom2: _Atom = None


class BondEntry(_Ends):
    """A covalent bond; ``left_entity`` and the like are the older spelling of ``entity1``."""

    @model_validator(mode="before")
    @classmethod
    def _modernise(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        value = {key: item for key, item in value.items() if item is not None}
        for number, side in _SIDES.items():
            for key in ("entity", "copy", "position", "atom"):
                new, old = f"{key}{number}", f"{side}_{key}"
                if new in value and old in value:
                    raise FieldError(f"{new} and {old} stand together", fix="keep one of them")
                if old in value:
                    value[new] = value.pop(old)
        return value


class ContactEntry(_Ends):
    """Two atoms or residues of named copies that are wanted near each other."""

    copy1: Whole
    copy2: Whole
    max_distance: _Limit
    min_distance: _Distance = 0.0


class ChainEntry(JsonModel):
    """A chain: an entity and which copy of it."""

    entity: Whole
    copy_number: Whole = Field(alias="copy")


class ResidueEntry(ChainEntry):
    """A residue of a chain."""

    position: Whole


class PocketEntry(JsonModel):
    """A chain that is wanted near residues of other chains."""

    binder_chain: ChainEntry
    contact_residues: Annotated[list[ResidueEntry], AfterValidator(refuse_blank)]
    max_distance: _Limit


class ConstraintEntry(JsonModel):
    """Constraints of a job."""

    contact: list[ContactEntry] = []
    pocket: PocketEntry | None = None
    structure: Annotated[Any, unsupported(
        "structure constraints do nothing in Protenix 2.0.0", "remove structure")] = None


def read_bonds(
    entries: Sequence[BondEntry], entities: tuple[Entity, ...], where: str
) -> tuple[CovalentBond, ...]:
    """Make the bonds of a job; see `make_bonds`."""
    bonds = []
    for number, entry in enumerate(entries, 1):
        place = f"{where}, covalent bond {number}"
        first, second = (_read_address(entry, end, entities, place) for end in _SIDES)
        bonds.append((place, first, second))
    return make_bonds(bonds, entities)


def read_constraints(
    entry: ConstraintEntry | None, entities: tuple[Entity, ...], where: str
) -> tuple[tuple[Contact, ...], Pocket | None]:
    """Make the contacts and the pocket of a job.

    Raises:
        InputError: an address outside of the job, both ends in one chain, a distance below another.
    """
    if entry is None:
        return (), None
    contacts = tuple(_read_contact(contact, entities, f"{where}, contact {number}")
                     for number, contact in enumerate(entry.contact, 1))
    pocket = _read_pocket(entry.pocket, entities, f"{where}, pocket") if entry.pocket else None
    return contacts, pocket


def _read_address(
    entry: JsonModel, end: str, entities: tuple[Entity, ...], where: str
) -> AtomAddress:
    """Read the address whose keys end in `end`, checked against the entities."""
    number, copy, position, atom = (
        entry.value_of(f"{key}{end}") for key in ("entity", "copy", "position", "atom"))
    check_range(number, 1, len(entities), f"entity{end}", where)
    entity = entities[number - 1]
    check_range(position, 1, length_of(entity), f"position{end}", where)
    if copy is not None:
        check_range(copy, 1, entity.count, f"copy{end}", where)
    if isinstance(atom, int):
        if not isinstance(entity, Ligand) or entity.codes:
            raise InputError(f"atom{end} is a number, but entity {number} has named atoms",
                             where=where,
                             fix="write the atom's name; numbers are for SMILES and file ligands")
        check_range(atom, 0, 100_000, f"atom{end}", where)
    return AtomAddress(number, position, atom, copy)


def _read_contact(entry: ContactEntry, entities: tuple[Entity, ...], where: str) -> Contact:
    first, second = (_read_address(entry, end, entities, where) for end in _SIDES)
    if (first.entity, first.copy) == (second.entity, second.copy):
        raise InputError("both ends are in the same chain", where=where, fix="name two chains")
    if entry.max_distance < entry.min_distance:
        raise InputError("max_distance is below min_distance", where=where, fix="exchange them")
    return Contact(first, second, entry.max_distance, entry.min_distance)


def _read_pocket(entry: PocketEntry, entities: tuple[Entity, ...], where: str) -> Pocket:
    entity, copy = entry.binder_chain.entity, entry.binder_chain.copy_number
    check_range(entity, 1, len(entities), "entity", where)
    check_range(copy, 1, entities[entity - 1].count, "copy", where)
    residues = []
    for number, item in enumerate(entry.contact_residues, 1):
        place = f"{where}, contact_residues {number}"
        residues.append(_read_address(item, "", entities, place))
        if (residues[-1].entity, residues[-1].copy) == (entity, copy):
            raise InputError("the residue is in the binder's own chain", where=place,
                             fix="name another chain")
    return Pocket((entity, copy), tuple(residues), entry.max_distance)
