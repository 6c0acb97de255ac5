# SPDX-License-Identifier: Apache-2.0
"""Rules over all entities of a job: names and limits, bonds between them, entities that are equal.

To AlphaFold 3 chains with the same residues, modifications included, are copies of one entity,
however they are written. Upstream Protenix takes every entry for a molecule of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from protenix_ms.constants.restypes import SEQUENCE_LETTERS
from protenix_ms.errors import InputError
from protenix_ms.io.text_file import find_file, read_text
from protenix_ms.job import AtomAddress, CovalentBond, Entity, Job, Ligand, Polymer

MAX_CHAINS = 1000
MAX_RESIDUES = 100_000


def length_of(entity: Entity) -> int:
    """Count the positions that an address may name."""
    return len(entity.sequence) if isinstance(entity, Polymer) else max(1, len(entity.codes))


def residues_of(chain: Polymer) -> tuple[str, ...]:
    """List the component codes of a chain, modified residues in their places."""
    codes = [SEQUENCE_LETTERS[chain.kind][letter] for letter in chain.sequence]
    for change in chain.modifications:
        codes[change.position - 1] = change.code
    return tuple(codes)


def check_entities(entities: tuple[Entity, ...], places: list[str], where: str) -> None:
    """Check that chain names are unique and that chains and residues are not too many.

    Args:
        entities: entities of one job.
        places: where each of them stands.
        where: the job's place.

    Raises:
        InputError: a rule is broken.
    """
    owner: dict[str, int] = {}
    for number, (entity, place) in enumerate(zip(entities, places), 1):
        if entity.ids and len(entity.ids) != entity.count:
            raise InputError(f"{len(entity.ids)} chain ids for {entity.count} copies", where=place,
                             fix="give one id per copy, or none")
        for name in entity.ids:
            if name in owner:
                raise InputError(f"chain id {name!r} is used twice (also by entity {owner[name]})",
                                 where=place, fix="chain ids must differ within a job")
            owner[name] = number
    chains = sum(entity.count for entity in entities)
    residues = sum(e.count * len(e.sequence) for e in entities if isinstance(e, Polymer))
    if not entities:
        raise InputError("sequences is empty", where=where, fix="add at least one entity")
    if chains > MAX_CHAINS or residues > MAX_RESIDUES:
        raise InputError(
            f"the job has {chains} chains with {residues} residues", where=where,
            fix=f"lower the counts; the limits are {MAX_CHAINS} chains and {MAX_RESIDUES} residues")


def make_bonds(
    pairs: Iterable[tuple[str, AtomAddress, AtomAddress]], entities: tuple[Entity, ...]
) -> tuple[CovalentBond, ...]:
    """Make bonds, each between two named atoms of one copy or of all copies pairwise.

    Args:
        pairs: the place of each bond and its two ends.

    Raises:
        InputError: an end without an atom, both ends the same, copies that do not pair, or a bond
            that stands there already: it would cost both atoms a second leaving group.
    """
    bonds: list[CovalentBond] = []
    seen: dict[frozenset[tuple[object, ...]], int] = {}  # pairs of atoms -> number of their bond
    for where, *ends in pairs:
        if any(end.atom is None for end in ends):
            raise InputError("a bond needs an atom at both ends", where=where,
                             fix="add atom1 and atom2")
        counts = [entities[end.entity - 1].count for end in ends]
        if any(end.copy for end in ends):  # the only copy need not be named
            ends = [replace(end, copy=1) if end.copy is None and count == 1 else end
                    for end, count in zip(ends, counts)]
        first, second = ends
        if (first.copy is None) != (second.copy is None):
            raise InputError("only one end names a copy", where=where,
                             fix="give copy1 and copy2, or neither")
        if first.copy is None and counts[0] != counts[1]:
            raise InputError(
                f"entity {first.entity} has {counts[0]} copies, entity {second.entity} {counts[1]}",
                where=where, fix="name the copies with copy1 and copy2")
        if first == second:
            raise InputError("the bond joins an atom to itself", where=where,
                             fix="correct one of its ends")
        bonds.append(CovalentBond(first, second))
        for copy in range(1, counts[0] + 1) if first.copy is None else (first.copy,):
            atoms = frozenset((e.entity, e.copy or copy, e.position, e.atom) for e in ends)
            if (number := seen.setdefault(atoms, len(bonds))) != len(bonds):
                raise InputError(f"the same bond as bond {number}", where=where,
                                 fix="remove one of them")
    return tuple(bonds)


def number_by_content(entities: tuple[Entity, ...]) -> tuple[int, ...]:
    """Give every entity the 1-based number of the first one with the same molecule."""
    first: dict[tuple[object, ...], int] = {}
    contents = [(e.kind, residues_of(e)) if isinstance(e, Polymer) else
                ("ligand", e.codes, e.smiles, e.file) for e in entities]
    return tuple(first.setdefault(content, n) for n, content in enumerate(contents, 1))


def _equal_entities(entities: tuple[Entity, ...]) -> list[list[int]]:
    """List the numbers of entities that share their content, where several do."""
    groups: dict[int, list[int]] = {}
    for number, same in enumerate(number_by_content(entities), 1):
        groups.setdefault(same, []).append(number)
    return [group for group in groups.values() if len(group) > 1]


def _name(numbers: list[int]) -> str:
    return f"entities {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def note_equal_entities(job: Job) -> Job:
    """Note which entities of a Protenix job could be copies; upstream keeps them apart."""
    notes = list(job.notes)
    for group in _equal_entities(job.entities):
        ligand = isinstance(job.entities[group[0] - 1], Ligand)
        count = sum(job.entities[number - 1].count for number in group)
        fact = "are the same ligand" if ligand else "have the same sequence"
        notes.append(f"{_name(group)} {fact}; count {count} makes them copies")
    return replace(job, notes=tuple(notes))


def read_own_components(text: str | None, path: str | None, folder: Path, where: str) -> str:
    """Return the mmCIF text of userCCD or of the file userCCDPath, "" without both.

    Raises:
        InputError: both stand together; the file cannot be read.
    """
    if text and path:
        raise InputError("userCCD and userCCDPath stand together", where=where,
                         fix="keep one of them")
    if not path:
        return text or ""
    place = f"{where}, userCCDPath"
    return read_text(find_file(path, folder, place), place)


def merge_equal_entities(job: Job) -> Job:
    """Make entities of equal content copies of the first of them, as AlphaFold 3 does.

    Order and names of the chains stay. The first entity that brings alignments lends them to the
    others, and a note says so if theirs differ.
    """
    entities, notes = list(job.entities), []
    for group in _equal_entities(job.entities):
        same = [job.entities[number - 1] for number in group]
        texts = [_alignment_texts(entity) for entity in same]
        lender = next((i for i, text in enumerate(texts) if any(text)), 0)
        if len(set(texts)) > 1:
            notes.append(f"{_name(group)} are copies of one chain, but their alignments differ; "
                         f"that of entity {group[lender]} is used")
        for number, entity in zip(group, same):
            copy = replace(same[0], count=entity.count, ids=entity.ids)
            if isinstance(copy, Polymer) and isinstance(entity, Polymer):
                copy = replace(copy, templates=entity.templates,
                               template_structures=entity.template_structures)
                copy = replace(copy, **{key: getattr(same[lender], key) for key in
                                        ("paired_msa", "unpaired_msa", "keep_rows")})
            entities[number - 1] = copy
    numbers = number_by_content(job.entities)
    earlier = [sum(e.count for e, n in zip(entities[:i], numbers) if n == numbers[i])
               for i in range(len(entities))]

    def renumber(end: AtomAddress) -> AtomAddress:
        """Address an atom by the first entity of its content and the running copy."""
        i = end.entity - 1
        return replace(end, entity=numbers[i], copy=earlier[i] + (end.copy or 1))

    bonds = tuple(CovalentBond(renumber(b.first), renumber(b.second)) for b in job.bonds)
    return replace(job, entities=tuple(entities), bonds=bonds, entity_numbers=numbers,
                   notes=(*job.notes, *notes))


def _alignment_texts(entity: Entity) -> tuple[str | None, ...]:
    if not isinstance(entity, Polymer):
        return (None,)
    return tuple(a.text if a else None for a in (entity.paired_msa, entity.unpaired_msa))
