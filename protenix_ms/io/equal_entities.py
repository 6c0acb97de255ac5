# SPDX-License-Identifier: Apache-2.0
"""Entities of a job that are written apart and have the same content.

To AlphaFold 3 chains with the same residues, modifications included, are copies of one entity,
however they are written. Upstream Protenix takes every entry for a molecule of its own.
"""

from __future__ import annotations

from dataclasses import replace

from protenix_ms.constants.restypes import SEQUENCE_LETTERS
from protenix_ms.job import AtomAddress, CovalentBond, Entity, Job, Ligand, Polymer


def residues_of(chain: Polymer) -> tuple[str, ...]:
    """List the component codes of a chain, modified residues in their places."""
    codes = [SEQUENCE_LETTERS[chain.kind][letter] for letter in chain.sequence]
    for change in chain.modifications:
        codes[change.position - 1] = change.code
    return tuple(codes)


def number_by_content(entities: tuple[Entity, ...]) -> tuple[int, ...]:
    """Give every entity the 1-based number of the first one with the same molecule."""
    first: dict[tuple, int] = {}
    return tuple(first.setdefault(_content(e), n) for n, e in enumerate(entities, 1))


def _content(entity: Entity) -> tuple:
    if isinstance(entity, Polymer):
        return entity.kind, residues_of(entity)
    return "ligand", entity.codes, entity.smiles, entity.file


def _groups(entities: tuple[Entity, ...]) -> list[list[int]]:
    """List the numbers of entities that share their content, where several do."""
    groups: dict[int, list[int]] = {}
    for number, same in enumerate(number_by_content(entities), 1):
        groups.setdefault(same, []).append(number)
    return [group for group in groups.values() if len(group) > 1]


def _names(numbers: list[int]) -> str:
    return f"entities {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def note_equal_entities(job: Job) -> Job:
    """Note which entities of a Protenix job could be copies; upstream keeps them apart."""
    notes = list(job.notes)
    for group in _groups(job.entities):
        ligand = isinstance(job.entities[group[0] - 1], Ligand)
        count = sum(job.entities[number - 1].count for number in group)
        what = "are the same ligand" if ligand else "have the same sequence"
        notes.append(f"{_names(group)} {what}; count {count} makes them copies")
    return replace(job, notes=tuple(notes))


def merge_equal_entities(job: Job) -> Job:
    """Make entities of equal content copies of the first of them, as AlphaFold 3 does.

    Order and names of the chains stay. The first entity that brings alignments lends them to the
    others, and a note says so if theirs differ.
    """
    entities, notes = list(job.entities), []
    for group in _groups(job.entities):
        same = [job.entities[number - 1] for number in group]
        texts = [_alignments(entity) for entity in same]
        source = next((i for i, text in enumerate(texts) if any(text)), 0)
        if len(set(texts)) > 1:
            notes.append(f"{_names(group)} are copies of one chain, but their alignments differ; "
                         f"that of entity {group[source]} is used")
        for number, entity in zip(group, same):
            copy = replace(same[0], count=entity.count, ids=entity.ids)
            if isinstance(copy, Polymer):
                lent = {key: getattr(same[source], key)
                        for key in ("paired_msa", "unpaired_msa", "keep_rows")}
                copy = replace(copy, **lent)
            entities[number - 1] = copy
    numbers = number_by_content(job.entities)
    before = [sum(e.count for e, n in zip(entities[:i], numbers) if n == numbers[i])
              for i in range(len(entities))]

    def moved(end: AtomAddress) -> AtomAddress:
        """Address an atom by the first entity of its kind and the running copy."""
        i = end.entity - 1
        return replace(end, entity=numbers[i], copy=before[i] + (end.copy or 1))

    bonds = tuple(CovalentBond(moved(bond.first), moved(bond.second)) for bond in job.bonds)
    return replace(job, entities=tuple(entities), bonds=bonds, entity_numbers=numbers,
                   notes=(*job.notes, *notes))


def _alignments(entity: Entity) -> tuple[str | None, ...]:
    if not isinstance(entity, Polymer):
        return (None,)
    return tuple(a and a.text for a in (entity.paired_msa, entity.unpaired_msa))
