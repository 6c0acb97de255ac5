# SPDX-License-Identifier: Apache-2.0
"""Write a searched job: its JSON, its alignments beside it, and a report of its chains."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from protenix_ms.errors import InputError
from protenix_ms.io.a3m import A3m, check_alignment, parse_a3m
from protenix_ms.io.atomic import write_text
from protenix_ms.io.job_document import has_alignment, job_document, relocate, same_job
from protenix_ms.io.protenix_json import read_protenix_job
from protenix_ms.job import Alignment, Entity, Job, Polymer
from protenix_ms.search.chains import join
from protenix_ms.search.depth import coverage, draw, effective_rows, encode
from protenix_ms.search.searcher import ChainResult, notes_of
from protenix_ms.search.stockholm import a3m_text

REPORT = "search.json"
_OWN = frozenset(("pairedMsa", "pairedMsaPath", "unpairedMsa", "unpairedMsaPath", "msa"))
_TEMPLATE_WIDTH = 60  # letters a line, as upstream writes hits


def write_job(
    job: Job, results: Sequence[ChainResult], folder: Path
) -> tuple[Path, dict[str, Any]]:
    """Write ``<job>.json``, and in ``<job>/`` the alignments that it names and a report.

    The JSON comes last, so that one that is there is whole.

    Returns:
        the path of the JSON and the report.

    Raises:
        InputError: rows that do not fit their chain, a job that the format cannot hold.
        OutputError: no room or no permission.
    """
    document, notes = _document(job), []
    written: dict[tuple[str, str], str] = {}  # folder by sequence: equal chains share files
    for result in results:
        polymer = result.polymer
        place = written.setdefault((polymer.kind, polymer.sequence),
                                   f"{job.name}/msa/{result.number}")
        entry = next(v for v in document["sequences"][result.number - 1].values() if v is not None)
        for key, name, text in _texts(result, entry):
            write_text(folder / place / name, text)
            if key == "templatesPath" and "dialect" in document:
                notes.append(f"entity {result.number}: AlphaFold 3's format has no place for "
                             f"template hits, which are in {place}/{name}")
                continue
            if key != "templatesPath":
                check_alignment(Alignment(text, name), polymer.sequence, polymer.kind, job.source)
            for old in (key, key.removesuffix("Path"), "msa"):
                entry.pop(old, None)
            entry[key] = f"{place}/{name}"
    summary = report(job, results)
    summary["notes"] += notes
    write_text(folder / job.name / REPORT, json.dumps(summary, indent=1) + "\n")
    content = document if "dialect" in document else [document]
    path = folder / f"{job.name}.json"
    write_text(path, json.dumps(content, indent=1) + "\n")
    return path, summary


def _texts(result: ChainResult, entry: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield key, file name and text of what the JSON is to name for a chain.

    An alignment that the entry names itself stays where it is.
    """
    names_its_own = not _OWN.isdisjoint(entry)
    polymer = result.polymer
    brought = (polymer.paired_msa, polymer.unpaired_msa)
    for key, name, rows, own in zip(
            ("pairedMsaPath", "unpairedMsaPath"), ("pairing.a3m", "non_pairing.a3m"),
            (result.paired, result.unpaired), brought):
        if result.searched and rows.rows:
            yield key, name, result.text(rows)
        elif own and not names_its_own:
            yield key, name, a3m_text(parse_a3m(own.text))
    if result.templates is not None and result.templates.rows:
        yield "templatesPath", "hmmsearch.a3m", a3m_text(result.templates, _TEMPLATE_WIDTH)


def _document(job: Job) -> dict[str, Any]:
    """Return the document to write for a job: a copy of its own, with absolute paths.

    A job of another format becomes one of Protenix, unless something would be lost.

    Raises:
        InputError: something would be lost, and there is no document to copy.
    """
    folder = Path(job.source.rpartition(", ")[0] or job.source).parent
    document = dict(job.document) if job.document is not None else None
    if document is None or "dialect" in document:
        document_of_protenix = job_document(job)
        bare = replace(job, entities=tuple(_bare(entity) for entity in job.entities))
        if same_job(read_protenix_job(document_of_protenix, folder, job.source), bare):
            return document_of_protenix
        if document is None:
            raise InputError("this job cannot be written as Protenix JSON", where=job.source,
                             fix="write it as Protenix or AlphaFold 3 JSON yourself")
    moved: dict[str, Any] = relocate(document, folder, job.source)
    return moved


def _bare(entity: Entity) -> Entity:
    """Return an entity without alignments; rows that were paired by hand make it another one."""
    if not isinstance(entity, Polymer):
        return entity
    return replace(entity, paired_msa=None, unpaired_msa=None,
                   keep_rows=entity.keep_rows and has_alignment(entity))


def report(job: Job, results: Sequence[ChainResult]) -> dict[str, Any]:
    """Say what was found for every chain: rows, depth, pairs, coverage, databases, seconds."""
    chains = []
    for result in results:
        polymer = result.polymer
        rows = join([A3m(["query"], [polymer.sequence.encode()]), result.paired, result.unpaired])
        classes = encode(rows, polymer.kind)
        counts = coverage(classes[1:])
        chains.append({
            "entity": result.number, "kind": polymer.kind, "residues": len(polymer.sequence),
            "searched": result.searched,
            "sources": [asdict(source) for source in result.sources],
            "rows": sum(source.rows for source in result.sources if source.aligns),
            "kept": result.kept,
            "neff": round(effective_rows(classes), 1), "paired_rows": result.pairs,
            "templates": None if result.templates is None else len(result.templates.rows),
            "coverage": counts.tolist(), "picture": draw(counts)})
    return {"job": job.name, "source": job.source, "chains": chains,
            "notes": [*job.notes, *notes_of(job, results)]}
