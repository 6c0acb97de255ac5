# SPDX-License-Identifier: Apache-2.0
"""ColabFold's table of jobs: columns ``id`` and ``sequence``, chains separated by ':'.

A third column ``a3mpath`` may name the job's alignment, of one chain or of all of them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from protenix_ms.errors import InputError
from protenix_ms.io.alignment_files import AlignmentFiles
from protenix_ms.io.fasta import Chain, join_chains, read_polymer
from protenix_ms.io.sequence import check_job_name
from protenix_ms.io.text_file import find_file, split_lines
from protenix_ms.job import Job

TABLE_SUFFIXES = (".csv", ".tsv")
_KNOWN = ("id", "sequence", "a3mpath")


def is_colabfold_table(text: str) -> bool:
    """Tell whether the first line of a text names the columns id and sequence."""
    first = split_lines(text[:1000])[0].replace("\t", ",").lower()
    return {"id", "sequence"} <= {name.strip() for name in first.split(",")}


def read_colabfold_table(path: Path, text: str) -> Iterator[Job | InputError]:
    """Yield the job of every line, or the reason why it is none."""
    lines = split_lines(text)
    reader = csv.reader(lines, delimiter="\t" if "\t" in lines[0] else ",")
    try:
        columns = [name.strip().lower() for name in next(reader)]
        rows = [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        yield InputError(f"the table is damaged ({error})",
                         where=f"{path}, line {reader.line_num}", fix="close the quotes")
        return
    rows = [(number, cells) for number, cells in rows if any(cell.strip() for cell in cells)]
    if not rows:
        yield InputError("the table has no jobs", where=str(path), fix="add a line")
    for number, cells in rows:
        try:
            yield _read_line(columns, [cell.strip() for cell in cells], path, number)
        except InputError as error:
            yield error


def _read_line(columns: list[str], cells: list[str], path: Path, number: int) -> Job:
    where = f"{path}, line {number}"
    if len(cells) > len(columns):
        raise InputError(f"{len(cells)} cells under {len(columns)} columns", where=where,
                         fix="put cells with commas into quotes")
    row = dict(zip(columns, cells))
    for column, cell in row.items():
        if cell and column not in _KNOWN:
            raise InputError(f"the column {column[:40]!r} is not known", where=where,
                             fix=f"use {', '.join(_KNOWN)}")
    name = check_job_name(row.get("id", ""), where)
    parts = row.get("sequence", "").replace(" ", "").upper().split(":")
    if any("|" in part for part in parts):
        raise InputError("a chain of another type than protein is not read from a table",
                         where=where, fix="write this job as FASTA with headers like '>A|dna'")
    chains = [Chain(read_polymer(part, "protein", where), "", "", where) for part in parts]
    job = join_chains(name, chains, where)
    if row.get("a3mpath"):
        alignments = AlignmentFiles.find(find_file(row["a3mpath"], path.parent, where))
        if not alignments.fits(job):
            raise InputError("the alignment of a3mpath is of no chain of this job", where=where,
                             fix="its first row must be a chain's own sequence")
        job = alignments.attach(job)
    return job
