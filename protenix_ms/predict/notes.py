# SPDX-License-Identifier: Apache-2.0
"""What a run says about a job before it starts, and `run.json` keeps: notes, names of chains.

A note is one sentence about input that is read differently from how it is written, or that this
model cannot use. Readers put theirs on `Job.notes`; what depends on the settings is added here.
"""

from __future__ import annotations

from collections.abc import Iterator

from protenix_ms.features.assembly import chain_names
from protenix_ms.features.msa import note_pairing
from protenix_ms.job import Job, Polymer
from protenix_ms.predict.settings import Settings


def collect_notes(job: Job, settings: Settings) -> tuple[str, ...]:
    """List the notes of a job under `settings`, each once, those of its reader first."""
    return tuple(dict.fromkeys([*job.notes, *_note_missing_alignments(job),
                                *note_pairing(job, settings.options)]))


def _note_missing_alignments(job: Job) -> Iterator[str]:
    """Say how many proteins come without an alignment."""
    proteins = [e for e in job.entities if isinstance(e, Polymer) and e.kind == "protein"]
    without = [e for e in proteins if not (e.unpaired_msa or e.paired_msa)]
    if without:
        yield (f"{len(without)} of {len(proteins)} protein entities have no alignment; "
               "expect lower accuracy")


def name_chains(job: Job) -> list[dict[str, object]]:
    """List the chains in model order: name in the structure files, entity, the user's own name."""
    copies = [(number, copy, entity) for number, entity in enumerate(job.entities, 1)
              for copy in range(entity.count)]
    return [
        {"chain": name, "entity": number, "name": entity.labels[copy] if entity.labels else ""}
        for name, (number, copy, entity) in zip(chain_names(job), copies)
    ]
