# SPDX-License-Identifier: Apache-2.0
"""What an alignment server sends: a checked archive in the layout of ColabFold or of Protenix."""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from protenix_ms.errors import InputError, ResourceError
from protenix_ms.io.a3m import A3m, check_alignment, parse_a3m, split_blocks
from protenix_ms.io.text_file import MAX_UNPACKED
from protenix_ms.job import Alignment

FIRST_NAME = 101  # ColabFold's name of the first query
_MOST_MEMBERS = 10_000
_TAXA = "uniref_tax.m8"


class DamagedArchiveError(Exception):
    """An archive that ends too early or is none: fetching it again may help."""


@dataclass(frozen=True)
class Answer:
    """Rows for one sequence, without the query.

    Attributes:
        unpaired: rows of this chain alone.
        paired: rows whose names tell a species; None in ColabFold's layout, which has pairs apart.
    """

    unpaired: A3m
    paired: A3m | None = None


def unpack(content: bytes, where: str) -> dict[str, str]:
    """Read the files of a tar.gz archive, by name.

    Raises:
        DamagedArchiveError: it is truncated, or no archive.
        ResourceError: a member outside of the archive's own folder, a link or device, too much.
    """
    files: dict[str, str] = {}
    left = MAX_UNPACKED
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for number, member in enumerate(archive):
                path = PurePosixPath(member.name)
                outside = path.is_absolute() or ".." in path.parts
                if outside or not (member.isfile() or member.isdir()):
                    fault = "a path outside of it" if outside else "no plain file"
                    raise _refuse(f"the archive holds {ascii(member.name)[:80]}, {fault}", where)
                left -= max(member.size, 0)
                if left < 0 or number >= _MOST_MEMBERS:
                    raise _refuse(f"the archive unpacks to more than {MAX_UNPACKED >> 20} MiB or "
                                  f"{_MOST_MEMBERS} files", where)
                stream = archive.extractfile(member)
                if stream is not None:
                    files[str(path)] = stream.read().decode("utf-8", "replace")
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DamagedArchiveError(str(error)) from None
    if not files:
        raise DamagedArchiveError("it holds no file")
    return files


def read_alignments(
    files: dict[str, str], sequences: Sequence[str], where: str
) -> dict[str, Answer]:
    """Read the answer to ``ticket/msa``, in either layout.

    Args:
        files: content of the archive.
        sequences: what was asked, in order.

    Raises:
        ResourceError: another layout, a sequence without an answer, rows that do not fit.
    """
    if "0.a3m" in files:
        texts = [files.get(f"{i}.a3m", "") for i in range(len(sequences))]
        taxa = _read_taxa(files.get(_TAXA, ""))
        return {sequence: _split_by_taxon(_check(text, sequence, where), taxa)
                for text, sequence in zip(texts, sequences)}
    names = sorted((name for name in files if name.endswith(".a3m") and name != "pair.a3m"),
                   key=lambda name: (name != "uniref.a3m", name))
    if "uniref.a3m" not in names:
        raise _refuse(f"the archive holds {', '.join(sorted(files))[:120]}, but neither uniref.a3m "
                      "nor 0.a3m", where)
    sections = [_sections(files[name], sequences, f"{where}, {name}") for name in names]
    answers = {}
    for i, sequence in enumerate(sequences):
        parts = [section[i] for section in sections]
        rows = [row for part in parts for row in zip(part.names[1:], part.rows[1:])]
        answers[sequence] = Answer(A3m([name for name, _ in rows], [row for _, row in rows]))
    return answers


def read_pairs(files: dict[str, str], sequences: Sequence[str], where: str) -> dict[str, A3m]:
    """Read the answer to ``ticket/pair``: row k of every sequence belongs together.

    A row is named after its number, in the form that species pairing reads, so that equal names of
    hits cannot shift it. Rows without a residue only keep the numbers of the others.

    Raises:
        ResourceError: no pair.a3m, or sections with different numbers of rows.
    """
    if "pair.a3m" not in files:
        raise _refuse(f"the archive holds {', '.join(sorted(files))[:120]}, but no pair.a3m", where)
    sections = _sections(files["pair.a3m"], sequences, f"{where}, pair.a3m")
    if len({len(section.rows) for section in sections}) > 1:
        counts = ", ".join(str(len(section.rows)) for section in sections)
        raise _refuse(f"the sections of pair.a3m have {counts} rows, so they cannot be paired",
                      where)
    return {sequence: _numbered(section) for sequence, section in zip(sequences, sections)}


def _numbered(section: A3m) -> A3m:
    rows = [(f"UniRef100_{_bare(name)}_{number}/ {name}", row)
            for number, (name, row) in enumerate(zip(section.names, section.rows))
            if number and row.translate(None, b"-.")]
    return A3m([name for name, _ in rows], [row for _, row in rows])


def _bare(name: str) -> str:
    """Return the first word of a name as the species pattern wants it: without '_' and '/'."""
    return re.sub("[_/]", "-", (name.split() or ["x"])[0].removeprefix("UniRef100_"))


def _sections(text: str, sequences: Sequence[str], where: str) -> list[A3m]:
    """Read the section of every query, which its first row names; zero bytes separate them."""
    parts: dict[str, str] = {}
    for block in split_blocks(text):
        rows = parse_a3m(block)
        name = (rows.names[0].split() or [""])[0] if rows.names else ""
        parts[name] = parts.get(name, "") + block.strip() + "\n"
    names = [str(FIRST_NAME + i) for i in range(len(sequences))]
    return [_check(parts.get(name, ""), sequence, f"{where}, query {name}")
            for name, sequence in zip(names, sequences)]


def _check(text: str, sequence: str, where: str) -> A3m:
    """Read rows over the columns of a sequence, which is the first of them."""
    text = text.replace("\0", "")
    try:
        check_alignment(Alignment(text, "of the server"), sequence, "protein", where)
    except InputError as error:
        raise ResourceError(error.message, where=error.where, fix="the server's answer is not "
                            "usable; try again, or another server") from None
    return parse_a3m(text)


def _read_taxa(text: str) -> dict[str, str]:
    """Read which species (NCBI number) a hit is of: columns 2 and 3 of a table."""
    rows = (line.split("\t") for line in text.splitlines())
    return {row[1]: row[2].strip() for row in rows if len(row) > 2}


def _split_by_taxon(rows: A3m, taxa: dict[str, str]) -> Answer:
    """Split Protenix's file: rows of UniRef whose species is known can pair, the others cannot.

    The query stands again before the environmental rows. Rows equal to the query are left out.
    """
    first = rows.names[0].split()[:1]
    paired, unpaired = A3m([], []), A3m([], [])
    uniref = True
    for name, row in zip(rows.names[1:], rows.rows[1:]):
        if name.split()[:1] == first:
            uniref = False
        elif row != rows.rows[0]:
            hit = (name.split() or [""])[0]
            taxon = taxa.get(hit) if uniref else None
            part = paired if taxon else unpaired
            part.names.append(f"UniRef100_{_bare(hit)}_{taxon}/ {name}" if taxon else name)
            part.rows.append(row)
    return Answer(unpaired, paired)


def _refuse(message: str, where: str) -> ResourceError:
    return ResourceError(message, where=where, fix="the server's answer is not usable; try "
                         "another server")
