# SPDX-License-Identifier: Apache-2.0
"""What a run says about a job before it starts, and `run.json` keeps: notes, names of chains.

A note is one sentence about input that is read differently from how it is written, or that this
model cannot use. Readers put theirs on `Job.notes`; what depends on the settings is added here.
"""

from __future__ import annotations

from collections.abc import Iterator

from protenix_ms.features.assembly import chain_names
from protenix_ms.features.msa import has_several_proteins
from protenix_ms.io.a3m import parse_a3m
from protenix_ms.job import Job, Polymer
from protenix_ms.msa.chain import SHORTEST_ALIGNED
from protenix_ms.msa.pairing import pairs_by_row, without_partner
from protenix_ms.msa.species import species_of
from protenix_ms.predict.settings import Settings


def collect_notes(job: Job, settings: Settings) -> tuple[str, ...]:
    """List the notes of a job under `settings`, each once, those of its reader first."""
    return tuple(dict.fromkeys([
        *job.notes,
        *_note_missing_alignments(job),
        *_note_unused_alignments(job, settings),
        *_note_pairing(job, settings),
    ]))


def name_chains(job: Job) -> list[dict[str, object]]:
    """List the chains in model order: name in the structure files, entity, the user's own name."""
    copies = [(number, copy, entity) for number, entity in enumerate(job.entities, 1)
              for copy in range(entity.count)]
    return [
        {"chain": name, "entity": number, "name": entity.labels[copy] if entity.labels else ""}
        for name, (number, copy, entity) in zip(chain_names(job), copies)
    ]


def _note_missing_alignments(job: Job) -> Iterator[str]:
    """Say how many proteins come without an alignment."""
    proteins = [e for e in job.entities if isinstance(e, Polymer) and e.kind == "protein"]
    without = [e for e in proteins if not (e.unpaired_msa or e.paired_msa)]
    if without:
        yield (f"{len(without)} of {len(proteins)} protein entities have no alignment; "
               "expect lower accuracy")


def _note_unused_alignments(job: Job, settings: Settings) -> Iterator[str]:
    """Name the alignments that this model, or any, does not read."""
    for number, entity in enumerate(job.entities, 1):
        if not isinstance(entity, Polymer) or not (entity.unpaired_msa or entity.paired_msa):
            continue
        reason = ""
        if not settings.options.use_msa:
            reason = f"{settings.config.model_name} reads no alignments"
        elif entity.kind == "rna" and not settings.options.use_rna_msa:
            reason = f"{settings.config.model_name} reads none of RNA"
        elif len(entity.sequence) < SHORTEST_ALIGNED:
            reason = f"chains under {SHORTEST_ALIGNED} residues have none"
        if reason:
            yield f"the alignment of entity {number} is not used: {reason}"


def _note_pairing(job: Job, settings: Settings) -> Iterator[str]:
    """Say how rows of paired alignments pair where their names tell no species."""
    paired = {
        number: species_of(parse_a3m(entity.paired_msa.text).names)
        for number, entity in enumerate(job.entities, 1)
        if isinstance(entity, Polymer) and entity.kind == "protein" and entity.paired_msa
        and len(entity.sequence) >= SHORTEST_ALIGNED
    }
    if not (settings.options.use_msa and has_several_proteins(job) and paired):
        return
    numbers, species = list(paired), list(paired.values())
    by_row = pairs_by_row(species)
    if by_row and not settings.options.upstream_quirks:
        yield (f"{len(species)} paired alignments name no species: row k of each is paired with "
               f"row k of the others ({len(species[0])} rows)")
        return
    alone = [numbers[i] for i in (range(len(species)) if by_row else without_partner(species))]
    if alone:
        yield (f"the paired alignment of entity {', '.join(map(str, alone))} shares no species "
               "with another one, so no row of it is paired; names of rows must look like "
               "UniRef100_X_9606 or tr|X|X_HUMAN, or all paired alignments have the same number "
               "of rows and no species")
