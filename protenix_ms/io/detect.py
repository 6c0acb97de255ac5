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
from protenix_ms.io.colabfold_table import (
    TABLE_SUFFIXES,
    is_colabfold_table,
    read_colabfold_table,
)
from protenix_ms.io.entities import note_equal_entities
from protenix_ms.io.fasta import read_fasta
from protenix_ms.io.foreign import COMPANIONS, name_foreign, refuse_by_suffix
from protenix_ms.io.json_model import name_type, parse_json
from protenix_ms.io.openfold3_json import is_openfold3, read_openfold3
from protenix_ms.io.protenix_json import read_protenix_job
from protenix_ms.io.text_file import plain_name, read_text
from protenix_ms.job import Job

FASTA_SUFFIXES = (".fasta", ".fa", ".faa", ".fna", ".fas")
_LOOKED_AT = 1 << 20  # bytes; larger files that are skipped are not opened
JOB_SUFFIXES = (*FASTA_SUFFIXES, ".json")


def read_jobs(path: Path | str, msa: Path | str | None = None) -> list[Job]:
    """Every job under `path`, in file order, or the first error.

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
    """As `read_jobs`, but a job that cannot be read comes out as its error and others go on.

    Raises:
        InputError: nothing to read at all, or `msa` is unusable.
    """
    files = job_files(Path(path))
    alignments = AlignmentFiles.find(Path(msa)) if msa is not None else None
    used, broken = False, False
    names: dict[str, str] = {}
    for file in files:
        for job in _read_file(file):
            if isinstance(job, InputError):
                broken = True
                yield job
                continue
            if job.name in names:
                yield InputError(
                    f"the job name {job.name!r} is used twice (first in {names[job.name]})",
                    where=job.source,
                    fix="results of both would share a folder; rename one",
                )
                continue
            names[job.name] = job.source
            used = used or (alignments is not None and alignments.fits(job))
            try:
                yield alignments.attach(job) if alignments else job
            except InputError as error:
                yield error
    if alignments and not used and not broken:
        raise InputError(
            "the first sequence of the alignment is no chain of any job",
            where=str(alignments.source),
            fix="the first row of an alignment must be the chain's own sequence",
        )


def job_files(path: Path) -> list[Path]:
    """`path` itself, or the job files of a folder in alphabetical order.

    Raises:
        InputError: absent, or a folder without job files.
    """
    try:
        if not path.exists():
            raise InputError("no such file or folder", where=str(path), fix="check --input")
        if not path.is_dir():
            return [path]
        files = [file for file in path.iterdir() if _is_job_file(file)]
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot be read ({error})", where=repr(str(path)[:200]), fix="check --input"
        ) from None
    if not files:
        raise InputError(
            "the folder holds no job files",
            where=str(path),
            fix=f"{say_skipped(path)} add {', '.join(JOB_SUFFIXES)}".strip(),
        )
    return sorted(files)


def say_skipped(path: Path) -> str:
    """One sentence about the files of a folder that are no jobs and belong to none; or ""."""
    if not path.is_dir():
        return ""
    skipped = [file for file in sorted(path.iterdir())
               if file.is_file() and not file.name.startswith(".") and not _is_job_file(file)
               and plain_name(file).suffix.lower() not in COMPANIONS]
    if not skipped:
        return ""
    names = ", ".join(_describe(file) for file in skipped[:9])
    more = f" and {len(skipped) - 9} more" if skipped[9:] else ""
    return (f"{len(skipped)} file{'s' if skipped[1:] else ''} of the folder "
            f"{'are' if skipped[1:] else 'is'} no job and skipped: {names}{more};")


def _describe(path: Path) -> str:
    """Name of a file, with what it looks like where that is known."""
    try:
        refuse_by_suffix(path)
        if path.stat().st_size > _LOOKED_AT:
            return path.name
        looks = name_foreign(path, read_text(path)).message.partition("it ")[2]
    except InputError as error:
        looks = error.message.partition(", not")[0].replace("this is", "looks like")
    return f"{path.name} ({looks})" if looks else path.name


def _is_job_file(path: Path) -> bool:
    suffix = plain_name(path).suffix.lower()
    if suffix in TABLE_SUFFIXES:
        try:
            return is_colabfold_table(read_text(path))
        except InputError:
            return False
    return suffix in JOB_SUFFIXES


def _read_file(path: Path) -> Iterator[Job | InputError]:
    try:
        suffix = plain_name(path).suffix.lower()
        if suffix in FASTA_SUFFIXES:
            yield read_fasta(path)
            return
        refuse_by_suffix(path)
        text = read_text(path)
        start = text.lstrip()[:1]
        if start == ">":
            yield read_fasta(path)
            return
        if not start:
            raise InputError("the file is empty", where=str(path), fix="write FASTA or JSON")
        if start not in "[{" and suffix != ".json":
            if is_colabfold_table(text):
                yield from read_colabfold_table(path, text)
                return
            raise name_foreign(path, text)
        yield from _read_documents(parse_json(text, str(path)), path)
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
    if dialect is not None:
        if dialect not in (*readers,):
            raise InputError(f"unknown dialect {ascii(dialect)[:40]}", where=source,
                             fix=f"use {' or '.join(readers)}, or leave dialect out")
        return readers[dialect](value, folder, source)
    if looks_like_alphafold3(value):
        raise InputError("this looks like AlphaFold 3", where=source,
                         fix='add "dialect": "alphafold3"')
    try:
        return note_equal_entities(read_protenix_job(value, folder, source))
    except InputError:
        if looks_like_server(value):
            with suppress(InputError):
                job = read_server_job(value, folder, source)
                note = "it names no dialect and is read as a job of AlphaFold Server"
                return replace(job, notes=(note, *job.notes))
        raise
