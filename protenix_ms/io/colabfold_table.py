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

_KNOWN = ("id", "sequence", "a3mpath")


def read_colabfold_table(path: Path, text: str) -> Iterator[Job | InputError]:
    """Yield the job of every line, or the reason why it is none."""
    lines = split_lines(text)
    reader = csv.reader(lines, delimiter="\t" if "\t" in lines[0] else ",")
    try:
        columns = [name.strip().lower() for name in next(reader)]
        rows = [(f"{path}, line {reader.line_num}", [cell.strip() for cell in cells])
                for cells in reader]
    except csv.Error as error:
        yield InputError(f"the table is damaged ({error})",
                         where=f"{path}, line {reader.line_num}", fix="close the quotes")
        return
    rows = [(where, cells) for where, cells in rows if any(cells)]
    if not rows:
        yield InputError("the table has no jobs", where=str(path), fix="add a line")
    for where, cells in rows:
        try:
            yield _read_line(columns, cells, path.parent, where)
        except InputError as error:
            yield error


def _read_line(columns: list[str], cells: list[str], folder: Path, where: str) -> Job:
    if len(cells) > len(columns):
        raise InputError(f"{len(cells)} cells under {len(columns)} columns", where=where,
                         fix="put cells with commas into quotes")
    row = {column: cell for column, cell in zip(columns, cells) if cell}
    for column in row:
        if column not in _KNOWN:
            raise InputError(f"the column {column[:40]!r} is not known", where=where,
                             fix=f"use {', '.join(_KNOWN)}")
    name = check_job_name(row.get("id", ""), where)
    sequences = row.get("sequence", "").replace(" ", "").upper()
    if "|" in sequences:
        raise InputError("a chain of another type than protein is not read from a table",
                         where=where, fix="write this job as FASTA with headers like '>A|dna'")
    job = join_chains(name, (Chain(read_polymer(part, "protein", where), "", "", where)
                             for part in sequences.split(":")), where)
    if "a3mpath" not in row:
        return job
    alignments = AlignmentFiles.find(find_file(row["a3mpath"], folder, where))
    if not alignments.fits(job):
        raise InputError("the alignment of a3mpath is of no chain of this job", where=where,
                         fix="its first row must be a chain's own sequence")
    return alignments.attach(job)
