# SPDX-License-Identifier: Apache-2.0
"""From a path to jobs: FASTA, JSON of several dialects, ColabFold tables, or a folder of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from protenix_ms.errors import InputError
from protenix_ms.io.alignment_files import AlignmentFiles
from protenix_ms.io.alphafold_json import (
    looks_like_alphafold3,
    looks_like_server,
    read_alphafold3_job,
    read_server_job,
)
from protenix_ms.io.colabfold_table import read_colabfold_table
from protenix_ms.io.entities import note_equal_entities
from protenix_ms.io.fasta import read_fasta
from protenix_ms.io.job_files import (
    FASTA_SUFFIXES,
    is_colabfold_table,
    job_files,
    refuse_by_suffix,
    refuse_foreign,
)
from protenix_ms.io.json_model import name_type, parse_json
from protenix_ms.io.openfold3_json import is_openfold3, read_openfold3
from protenix_ms.io.protenix_json import read_protenix_job
from protenix_ms.io.text_file import plain_suffix, read_text
from protenix_ms.job import Job


def read_jobs(path: Path | str, msa: Path | str | None = None) -> list[Job]:
    """Read every job under `path`, in file order, or raise the first error.

    Args:
        path: a FASTA or JSON file, or a folder of them (not searched deeper).
        msa: an a3m file or a folder of them, for chains that bring no alignment of their own.

    Raises:
        InputError: naming file, job, entity, position and a remedy.
    """
    jobs = []
    for job in scan_jobs(path, msa):
        if isinstance(job, InputError):
            raise job
        jobs.append(job)
    return jobs


def scan_jobs(path: Path | str, msa: Path | str | None = None) -> Iterator[Job | InputError]:
    """Yield every job as `read_jobs` does, or the error of one that cannot be read, and go on.

    Raises:
        InputError: nothing to read at all, or `msa` is unusable.
    """
    files = job_files(Path(path))
    alignments = AlignmentFiles.find(Path(msa)) if msa is not None else None
    unused = True  # no chain of any job has an alignment
    sources: dict[str, str] = {}  # by name of the job
    for job in (job for file in files for job in _read_file(file)):
        if isinstance(job, InputError):
            unused = False
            yield job
        elif job.name in sources:
            yield InputError(
                f"the job name {job.name!r} is used twice (first in {sources[job.name]})",
                where=job.source, fix="results of both would share a folder; rename one")
        else:
            sources[job.name] = job.source
            unused = unused and alignments is not None and not alignments.fits(job)
            try:
                yield alignments.attach(job) if alignments else job
            except InputError as error:
                yield error
    if alignments is not None and unused:
        raise InputError("the first sequence of the alignment is no chain of any job",
                         where=str(alignments.source),
                         fix="the first row of an alignment must be the chain's own sequence")


def _read_file(path: Path) -> Iterator[Job | InputError]:
    """Yield the jobs of a file, whose content tells its format, or the reason why it has none."""
    try:
        if plain_suffix(path) in FASTA_SUFFIXES:
            yield read_fasta(path)
            return
        refuse_by_suffix(path)
        text = read_text(path)
        start = text.lstrip()[:1]
        if not start:
            raise InputError("the file is empty", where=str(path), fix="write FASTA or JSON")
        if start == ">":
            yield read_fasta(path)
        elif start in "[{" or plain_suffix(path) == ".json":
            yield from _read_documents(parse_json(text, str(path)), path)
        elif is_colabfold_table(text):
            yield from read_colabfold_table(path, text)
        else:
            raise refuse_foreign(path, text)
    except InputError as error:
        yield error


def _read_documents(value: Any, path: Path) -> Iterator[Job | InputError]:
    """Yield the jobs of a JSON file; a single object counts as a list of one."""
    if is_openfold3(value):
        for job in read_openfold3(value, path):
            yield note_equal_entities(job) if isinstance(job, Job) else job
        return
    documents = [value] if isinstance(value, dict) else value
    if not isinstance(documents, list):
        raise InputError(f"the document is {name_type(value)}", where=str(path),
                         fix="write a list of jobs")
    if not documents:
        raise InputError("the list of jobs is empty", where=str(path), fix="add a job")
    for number, document in enumerate(documents, 1):
        try:
            yield _read_document(document, path.parent, f"{path}, job {number}")
        except InputError as error:
            yield error


def _read_document(value: Any, folder: Path, source: str) -> Job:
    """Read a job of the dialect that it names, else one of Protenix.

    A job that only AlphaFold Server's older files make sense of is read as one of those.
    """
    dialect = value.get("dialect") if isinstance(value, dict) else None
    readers = {"alphafold3": read_alphafold3_job, "alphafoldserver": read_server_job}
    if dialect in tuple(readers):
        job = readers[dialect](value, folder, source)
        return replace(job, document=value) if dialect == "alphafold3" else job
    if dialect is not None:
        raise InputError(f"unknown dialect {ascii(dialect)[:40]}", where=source,
                         fix=f"use {' or '.join(readers)}, or leave dialect out")
    if looks_like_alphafold3(value):
        raise InputError("this looks like AlphaFold 3", where=source,
                         fix='add "dialect": "alphafold3"')
    try:
        return replace(note_equal_entities(read_protenix_job(value, folder, source)),
                       document=value)
    except InputError:
        if looks_like_server(value):
            with suppress(InputError):
                job = read_server_job(value, folder, source)
                note = "it names no dialect and is read as a job of AlphaFold Server"
                return replace(job, notes=(note, *job.notes))
        raise
