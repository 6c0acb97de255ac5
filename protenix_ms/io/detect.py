# SPDX-License-Identifier: Apache-2.0
"""From a path to jobs: FASTA, Protenix JSON, AlphaFold 3 JSON, or a folder of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from protenix_ms.errors import InputError
from protenix_ms.io.alignment_files import AlignmentFiles
from protenix_ms.io.alphafold3_json import looks_like_alphafold3, read_alphafold3_job
from protenix_ms.io.alphafold_server_json import looks_like_server, read_server_job
from protenix_ms.io.equal_entities import note_equal_entities
from protenix_ms.io.fasta import read_fasta
from protenix_ms.io.job_json import read_job
from protenix_ms.io.json_field import Field, parse_json
from protenix_ms.io.text_file import read_text
from protenix_ms.job import Job

FASTA_SUFFIXES = (".fasta", ".fa", ".faa", ".fna", ".fas")
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
    if alignments and alignments.single and not used and not broken:
        raise InputError(
            "the first sequence of the alignment is no chain of any job",
            where=str(alignments.single),
            fix="its first row must be the chain's own sequence",
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
        files = [file for file in path.iterdir() if file.suffix.lower() in JOB_SUFFIXES]
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot be read ({error})", where=repr(str(path)[:200]), fix="check --input"
        ) from None
    if not files:
        raise InputError(
            "the folder holds no job files", where=str(path), fix=f"add {', '.join(JOB_SUFFIXES)}"
        )
    return sorted(files)


def _read_file(path: Path) -> Iterator[Job | InputError]:
    try:
        if path.suffix.lower() in FASTA_SUFFIXES:
            yield read_fasta(path)
            return
        text = read_text(path)
        start = text.lstrip()[:1]
        if start == ">":
            yield read_fasta(path)
            return
        if not start:
            raise InputError("the file is empty", where=str(path), fix="write FASTA or JSON")
        if start not in "[{" and path.suffix.lower() != ".json":
            raise InputError(
                "this is neither FASTA nor JSON", where=str(path), fix="FASTA starts with '>'"
            )
        documents = _documents(parse_json(text, str(path)))
    except InputError as error:
        yield error
        return
    for index, document in enumerate(documents, 1):
        try:
            yield _read_document(document, path, index)
        except InputError as error:
            yield error


def _documents(field: Field) -> list[Field]:
    """The jobs of a JSON file; a single object counts as a list of one."""
    if isinstance(field.value, dict):
        return [field]
    listed = list(field.items())
    if not listed:
        raise field.fail("the list of jobs is empty", "add a job")
    return listed


def _read_document(field: Field, path: Path, index: int) -> Job:
    source = f"{path}, job {index}"
    field = Field(field.value, source, f"job {index}")
    dialect = field.get("dialect")
    if dialect.value is None:
        return _read_without_dialect(field, path.parent, source)
    readers = {"alphafold3": read_alphafold3_job, "alphafoldserver": read_server_job}
    if dialect.text() not in readers:
        raise field.fail(
            f"unknown dialect {dialect.value[:40]!r}",
            f"use {' or '.join(readers)}, or leave dialect out",
        )
    return readers[dialect.value](field, path.parent, source)


def _read_without_dialect(field: Field, folder: Path, source: str) -> Job:
    """Read a Protenix job, or one that only AlphaFold Server's older files make sense of."""
    if looks_like_alphafold3(field):
        raise field.fail("this looks like AlphaFold 3", 'add "dialect": "alphafold3"')
    try:
        return note_equal_entities(read_job(field, folder, source))
    except InputError as error:
        if not looks_like_server(field):
            raise
        try:
            note = "it names no dialect and is read as a job of AlphaFold Server"
            return read_server_job(replace(field, notes=[note]), folder, source)
        except InputError:
            raise error from None
