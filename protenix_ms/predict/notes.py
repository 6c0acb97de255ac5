# SPDX-License-Identifier: Apache-2.0
"""Notes about a job before it starts, and names of its chains, as `run.json` keeps them.

A note is one sentence about input that is read differently from how it is written, or that this
model cannot use. Readers put theirs on `Job.notes`; what depends on the settings is added here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

import numpy as np
from ml_collections import ConfigDict
from rdkit import Chem
from scipy.cluster.hierarchy import DisjointSet

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.ligand import molecule_from_smiles
from protenix_ms.chem.ligand_file import molecule_from_file
from protenix_ms.chem.own_components import dictionary_of, unused_components
from protenix_ms.chem.polymer import build_polymer, unbonded_neighbours
from protenix_ms.errors import InputError
from protenix_ms.features.assembly import chain_names
from protenix_ms.features.msa import note_pairing
from protenix_ms.features.msa_chain import SHORTEST_ALIGNED
from protenix_ms.io.a3m import parse_a3m
from protenix_ms.io.entities import residues_of
from protenix_ms.job import Job, Ligand, Polymer, PolymerKind
from protenix_ms.predict.demonstration import note_memory
from protenix_ms.predict.settings import Settings, default_options, takes_constraints
from protenix_ms.predict.templates import note_templates
from protenix_ms.search.depth import coverage, encode

_CONSTRAINT_MODEL = "protenix_base_constraint_v0.5.0"


def collect_notes(job: Job, settings: Settings) -> tuple[str, ...]:
    """List the notes of a job under `settings`, each once, those of its reader first."""
    notes = (*note_memory(job, settings.config.model_name), *job.notes,
             *unused_input(job, settings.config),
             *_note_missing_alignments(job, settings), *note_pairing(job, settings.options),
             *note_templates(job, settings.options), *_note_gaps(job, settings),
             *_note_least_distances(job, settings.config),
             *_note_repeated_contacts(job, settings.config), *_note_loose_parts(job),
             *_note_own_components(job, settings.ccd))
    if settings.language_model is not None:
        notes += tuple(settings.language_model.notes(job))
    return tuple(dict.fromkeys(notes))


def unused_input(job: Job, config: ConfigDict) -> list[str]:
    """Say what of a job the model does not use: constraints, templates, alignments."""
    polymers = [entity for entity in job.entities if isinstance(entity, Polymer)]
    aligned = [chain for chain in polymers if chain.paired_msa or chain.unpaired_msa]
    short = [chain for chain in aligned if len(chain.sequence) < SHORTEST_ALIGNED]
    rna = [chain for chain in aligned if chain.kind == "rna"]
    hits = sum(bool(chain.templates) for chain in polymers)
    structures = sum(len(chain.template_structures) for chain in polymers)
    options, blind = default_options(config), not takes_constraints(config)
    none = "this model takes none; ignored"
    only = f"this model takes none, only {_CONSTRAINT_MODEL} does; ignored"
    unused = [
        ("contact constraint", blind * len(job.contacts), only),
        ("pocket constraint", int(blind and job.pocket is not None), only),
    ]
    if not options.templates.use:
        unused += [("template file", hits, none), ("template structure", structures, none)]
    if not options.use_msa:
        unused.append(("alignment", len(aligned), none))
    else:
        reason = f"chains under {SHORTEST_ALIGNED} residues are run without; ignored"
        unused.append(("alignment", len(short), reason))
        unused.append(("RNA alignment", 0 if options.use_rna_msa else len(rna), none))
    return [f"{n} {what}{'s' * (n > 1)}: {reason}" for what, n, reason in unused if n]


def _note_least_distances(job: Job, config: ConfigDict) -> Iterator[str]:
    """Say which least distances the constraint model cannot read."""
    unread = [str(number) for number, contact in enumerate(job.contacts, 1)
              if contact.min_distance and None in (contact.first.atom, contact.second.atom)]
    if unread and takes_constraints(config):
        yield (f"min_distance of contact {', '.join(unread)}: the model knows one between two "
               "atoms only; it is measured in the result all the same")


def _note_repeated_contacts(job: Job, config: ConfigDict) -> Iterator[str]:
    """Say which contacts have the ends of an earlier one: the model reads one pair of limits."""
    last: dict[tuple, int] = {}
    polymers = {n for n, entity in job.numbered_entities() if isinstance(entity, Polymer)}
    for number, contact in enumerate(job.contacts, 1):
        pair = (contact.first, contact.second)
        whole = any(end.atom is None for end in pair)  # then an atom stands for its residue
        ends = whole, frozenset(replace(end, atom=None) if whole and end.entity in polymers
                                else end for end in pair)
        earlier = last.get(ends)
        last[ends] = number
        if earlier and takes_constraints(config):
            yield (f"contact {number} has the ends of contact {earlier}: the model reads the "
                   "limits of the later one only; both are measured in the result")


def _note_gaps(job: Job, settings: Settings) -> Iterator[str]:
    """Say which neighbours upstream leaves without a bond; without quirks they are refused."""
    for number, entity in dict(job.numbered_entities()).items():
        changed = isinstance(entity, Polymer) and entity.modifications
        if not changed or not settings.options.upstream_quirks:
            continue
        chain = build_polymer(entity.kind, entity.sequence, entity.modifications,
                              dictionary_of(job, settings.ccd), upstream_quirks=True)
        for place in unbonded_neighbours(chain):
            first, second = (chain.res_name[chain.res_id == i][0] for i in (place, place + 1))
            yield (f"entity {number}: upstream makes no bond between {first} {place} and "
                   f"{second} {place + 1}")


def _note_loose_parts(job: Job) -> Iterator[str]:
    """Say which ligands are several molecules: nothing bonds their components or fragments."""
    for number, entity in dict(job.numbered_entities()).items():
        if isinstance(entity, Polymer):
            continue
        parts = _unbonded_components(job, number, entity) or _fragments(entity)
        if len(parts) > 1:
            yield (f"entity {number}: nothing bonds {', '.join(parts)}, which are predicted as one "
                   "ligand of separate molecules; write their bonds if they are joined, or an "
                   "entity for each if they are not")


def _note_own_components(job: Job, ccd: ComponentDictionary) -> Iterator[str]:
    """Say which of a job's own components stand in no entity, and which hide one of the table."""
    codes = {code for entity in job.entities for code in (
        residues_of(entity) if isinstance(entity, Polymer) else entity.codes)}
    for code in unused_components(job, codes):
        yield f"component {code} of userCCD stands in no entity"
    for code in unused_components(job, ()):
        if code in ccd:
            yield f"component {code} of userCCD replaces the one of that name in the table"


def _unbonded_components(job: Job, number: int, ligand: Ligand) -> list[str]:
    """Name the first component of every group that bonds of the job join."""
    groups = DisjointSet(range(1, len(ligand.codes) + 1))
    for bond in job.bonds:
        ends = bond.first, bond.second
        if all(end.entity == number and end.position in groups for end in ends):
            groups.merge(*(end.position for end in ends))
    firsts = sorted(min(group) for group in groups.subsets())
    return [f"{ligand.codes[first - 1]} {first}" for first in firsts]


def _fragments(ligand: Ligand) -> list[str]:
    """Write the fragments of a SMILES or file ligand as SMILES."""
    if ligand.file is None and "." not in (ligand.smiles or ""):
        return []
    mol = molecule_from_file(ligand.file) if ligand.file else molecule_from_smiles(ligand.smiles)
    return Chem.MolToSmiles(Chem.RemoveHs(mol)).split(".")


def _note_missing_alignments(job: Job, settings: Settings) -> Iterator[str]:
    """Say how many proteins come without an alignment, if the model reads any."""
    proteins = {number: entity for number, entity in job.numbered_entities()
                if isinstance(entity, Polymer) and entity.kind == "protein"}
    without = [e for e in proteins.values() if not (e.unpaired_msa or e.paired_msa)]
    if without and settings.options.use_msa:
        yield (f"{len(without)} of {len(proteins)} protein entities have no alignment; "
               "expect lower accuracy")


def name_chains(job: Job) -> list[dict[str, object]]:
    """List the chains in model order: name in the structure files, entity, the user's own name."""
    copies = [(number, copy, entity) for number, entity in job.numbered_entities()
              for copy in range(entity.count)]
    return [
        {"chain": name, "entity": number, "name": entity.labels[copy] if entity.labels else ""}
        for name, (number, copy, entity) in zip(chain_names(job), copies)
    ]


def count_alignments(job: Job) -> list[dict[str, object]]:
    """Count rows of the alignments of every entity that has any, in all and by column.

    An alignment that cannot be read, which ends the job when its features are made, has no entry.
    """
    entries: list[dict[str, object]] = []
    for number, chain in job.numbered_entities():
        texts = [] if not isinstance(chain, Polymer) or number in {e["entity"] for e in entries} \
            else [a.text for a in (chain.paired_msa, chain.unpaired_msa) if a]
        with suppress(InputError, ValueError):
            counts = [_count_rows(text, chain.kind) for text in texts]
            if counts:
                entries.append({"entity": number, "rows": sum(rows for rows, _ in counts),
                                "paired": counts[0][0] if chain.paired_msa else 0,
                                "coverage": np.sum([c for _, c in counts], axis=0).tolist()})
    return entries


@lru_cache(maxsize=16)
def _count_rows(text: str, kind: PolymerKind) -> tuple[int, tuple[int, ...]]:
    rows = parse_a3m(text)
    return len(rows.rows), tuple(coverage(encode(rows, kind)).tolist())


def describe(constraint: Mapping) -> str:
    """Say how a constraint of a summary came out, in one line."""
    limits = f"at most {constraint['max_distance']:g}"
    if constraint["min_distance"]:
        limits = f"{constraint['min_distance']:g} to {constraint['max_distance']:g}"
    verdict = "satisfied" if constraint["satisfied"] else "NOT satisfied"
    unread = "" if constraint["used"] else ", not read by this model"
    return (f"{constraint['kind'].replace('_', ' ')} {constraint['first']} - "
            f"{constraint['second']}: {constraint['distance']:.1f} A ({limits}), {verdict}{unread}")
