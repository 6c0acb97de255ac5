# SPDX-License-Identifier: Apache-2.0
"""Bonds and constraints of a Protenix job: addresses of atoms checked against the entities.

Follows upstream's `SampleDictToFeatures.add_bonds_between_entities` and
`ConstraintFeatureGenerator`; field names of both generations are read.
"""

from __future__ import annotations

from dataclasses import replace

from protenix_ms.io.json_field import Field
from protenix_ms.job import (
    AtomAddress,
    Contact,
    CovalentBond,
    Entity,
    Ligand,
    Pocket,
    Polymer,
)

MAX_DISTANCE = 1000.0
_SIDES = ((1, "left"), (2, "right"))


def length_of(entity: Entity) -> int:
    """Number of positions an address may name."""
    return len(entity.sequence) if isinstance(entity, Polymer) else max(1, len(entity.codes))


def read_bonds(job: Field, entities: tuple[Entity, ...]) -> tuple[CovalentBond, ...]:
    """``covalent_bonds`` of a job (``entity1`` ... or the older ``left_entity`` ...)."""
    listed = job.get("covalent_bonds")
    if not listed.given:
        return ()
    keys = [f"{key}{n}" for n, _ in _SIDES for key in ("entity", "copy", "position", "atom")]
    old = [f"{s}_{key}" for _, s in _SIDES for key in ("entity", "copy", "position", "atom")]
    bonds: list[CovalentBond] = []
    seen: dict[frozenset, int] = {}
    for number, item in enumerate(listed.items(), 1):
        item = item.at(f"covalent bond {number}")
        item.only(*keys, *old)
        for new, older in zip(keys, old):
            if item.get(new).value is not None and item.get(older).value is not None:
                raise item.fail(f"{new} and {older} stand together", "keep one of them")
        ends = [
            _address(item, entities, [(f"{key}{n}", f"{side}_{key}") for key in _ADDRESS])
            for n, side in _SIDES
        ]
        bonds.append(make_bond(item, ends[0], ends[1], entities))
        refuse_repeated(item, bonds, entities, seen)
    return tuple(bonds)


_ADDRESS = ("entity", "copy", "position", "atom")


def make_bond(
    field: Field, first: AtomAddress, second: AtomAddress, entities: tuple[Entity, ...]
) -> CovalentBond:
    """A bond between two named atoms, one copy or all copies pairwise.

    Raises:
        InputError: an end without an atom, both ends the same, copies that do not pair.
    """
    for end in (first, second):
        if end.atom is None:
            raise field.fail("a bond needs an atom at both ends", "add atom1 and atom2")
    counts = [entities[end.entity - 1].count for end in (first, second)]
    if first.copy is None and second.copy is not None and counts[0] == 1:
        first = replace(first, copy=1)
    if second.copy is None and first.copy is not None and counts[1] == 1:
        second = replace(second, copy=1)
    if (first.copy is None) != (second.copy is None):
        raise field.fail("only one end names a copy", "give copy1 and copy2, or neither")
    if first.copy is None and counts[0] != counts[1]:
        raise field.fail(
            f"entity {first.entity} has {counts[0]} copies, entity {second.entity} {counts[1]}",
            "name the copies with copy1 and copy2",
        )
    if first == second:
        raise field.fail("the bond joins an atom to itself", "correct one of its ends")
    return CovalentBond(first, second)


def refuse_repeated(
    field: Field, bonds: list[CovalentBond], entities: tuple[Entity, ...],
    seen: dict[frozenset, int],
) -> None:
    """Refuse the last of `bonds` if it joins two atoms that an earlier one joins.

    A second bond would cost both atoms a second leaving group. `seen` keeps the pairs of atoms,
    each with the number of its bond.
    """
    ends = (bonds[-1].first, bonds[-1].second)
    copies = entities[ends[0].entity - 1].count if ends[0].copy is None else 1
    for copy in range(1, copies + 1):
        pair = frozenset((e.entity, e.copy or copy, e.position, e.atom) for e in ends)
        number = seen.setdefault(pair, len(bonds))
        if number != len(bonds):
            raise field.fail(f"the same bond as bond {number}", "remove one of them")


def _address(
    field: Field, entities: tuple[Entity, ...], keys: list[tuple[str, ...]], need_copy: bool = False
) -> AtomAddress:
    """The address under (entity, copy, position, atom) `keys`, checked against the entities."""
    entity_keys, copy_keys, position_keys, atom_keys = keys
    number = field.require(*entity_keys).integer(1, len(entities))
    entity = entities[number - 1]
    copy = (field.require if need_copy else field.get)(*copy_keys)
    position = field.require(*position_keys).integer(1, length_of(entity))
    return AtomAddress(
        entity=number,
        position=position,
        atom=_atom(field.get(*atom_keys), entity, number),
        copy=None if copy.value is None else copy.integer(1, entity.count),
    )


def _atom(field: Field, entity: Entity, number: int) -> str | int | None:
    """An atom's name, or for SMILES and files its index or map number."""
    if field.value is None:
        return None
    if type(field.value) is int or (isinstance(field.value, str) and field.value.isdigit()):
        if not isinstance(entity, Ligand) or entity.codes:
            raise field.fail(
                f"{field.name} is a number, but entity {number} has named atoms",
                "write the atom's name; numbers are for SMILES and file ligands",
            )
        return field.integer(0, 100_000)
    name = field.text()
    if len(name) > 8 or not name.isascii() or not name.isprintable() or " " in name:
        raise field.fail(f"{name[:40]!a} is not an atom name", "write it as in the CCD, like CA")
    return name


def read_constraints(
    job: Field, entities: tuple[Entity, ...]
) -> tuple[tuple[Contact, ...], Pocket | None]:
    """``constraint`` of a job: contacts and one pocket."""
    field = job.get("constraint")
    if not field.given:
        return (), None
    field = field.at("constraint")
    field.only("contact", "pocket", "structure")
    if field.get("structure").given:
        raise field.fail("structure constraints do nothing in Protenix 2.0.0", "remove structure")
    contact, pocket = field.get("contact"), field.get("pocket")
    contacts = (
        ()
        if not contact.given
        else tuple(_contact(item.at(item.name), entities) for item in contact.items())
    )
    return contacts, _pocket(pocket.at("pocket"), entities) if pocket.given else None


def _contact(field: Field, entities: tuple[Entity, ...]) -> Contact:
    keys = [f"{key}{n}" for n, _ in _SIDES for key in _ADDRESS]
    field.only(*keys, "max_distance", "min_distance")
    ends = [
        _address(field, entities, [(f"{key}{n}",) for key in _ADDRESS], need_copy=True)
        for n, _ in _SIDES
    ]
    if (ends[0].entity, ends[0].copy) == (ends[1].entity, ends[1].copy):
        raise field.fail("both ends are in the same chain", "name two chains")
    low = field.get("min_distance")
    low = 0.0 if low.value is None else low.number(0.0, MAX_DISTANCE)
    high = field.require("max_distance").number(0.0, MAX_DISTANCE)
    if high < low:
        raise field.fail("max_distance is below min_distance", "exchange them")
    return Contact(ends[0], ends[1], max_distance=high, min_distance=low)


def _pocket(field: Field, entities: tuple[Entity, ...]) -> Pocket:
    field.only("binder_chain", "contact_residues", "max_distance")
    chain = field.require("binder_chain")
    chain.only("entity", "copy")
    entity = chain.require("entity").integer(1, len(entities))
    binder = (entity, chain.require("copy").integer(1, entities[entity - 1].count))
    residues = []
    for item in field.require("contact_residues").items():
        item = item.at(item.name)
        item.only("entity", "copy", "position")
        residue = _address(item, entities, [(key,) for key in _ADDRESS], need_copy=True)
        if (residue.entity, residue.copy) == binder:
            raise item.fail("the residue is in the binder's own chain", "name another chain")
        residues.append(residue)
    if not residues:
        raise field.fail("contact_residues is empty", "name at least one residue")
    return Pocket(binder, tuple(residues), field.require("max_distance").number(0.0, MAX_DISTANCE))
