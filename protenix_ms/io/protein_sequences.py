# SPDX-License-Identifier: Apache-2.0
"""Sequences for the encoder: every record of a FASTA file, every protein of a job.

Unlike a job, a FASTA file here may hold any number of records of any length, each on its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from Bio.SeqIO.FastaIO import SimpleFastaParser

from protenix_ms.constants.restypes import INSIDE
from protenix_ms.errors import InputError
from protenix_ms.io.detect import read_jobs
from protenix_ms.io.job_files import FASTA_SUFFIXES, job_files
from protenix_ms.io.text_file import plain_suffix, read_text
from protenix_ms.job import Polymer

_TOKEN = re.compile(r"<\w+>|.", re.DOTALL)


@dataclass(frozen=True)
class ProteinSequence:
    """A named sequence: the first word of a header, or job and entity number."""

    name: str
    sequence: str


def split_tokens(sequence: str, where: str = "") -> list[str]:
    """Split a sequence into residues, and tokens such as ``<mask>`` in their place.

    Raises:
        InputError: no residue, or a letter that the encoder does not know, by its position.
    """
    tokens = _TOKEN.findall(sequence)
    if not tokens:
        raise InputError("the sequence is empty", where=where, fix="write its letters")
    for position, token in enumerate(tokens, 1):
        if token not in INSIDE:
            place = f"{where}, position {position}" if where else f"position {position}"
            raise InputError(f"{token!a} is not a residue that ESM-2 knows", where=place,
                             fix=_remedy(token))
    return tokens


def _remedy(token: str) -> str:
    if token.upper() in INSIDE:
        return "use upper case"
    return "write X for J" if token == "J" else "use the letters of amino acids, or X"


def read_proteins(path: Path) -> list[ProteinSequence]:
    """Read all sequences of a FASTA file, the proteins of JSON jobs, or a folder of such files.

    White space inside a FASTA record and a ``*`` at its end are left out, as is a repeated name
    and sequence; lower case is read as upper case.

    Raises:
        InputError: unreadable, without a protein, a foreign letter, one name for two sequences.
    """
    proteins: dict[str, ProteinSequence] = {}
    for file in job_files(path):
        fasta = plain_suffix(file) in FASTA_SUFFIXES
        for protein in _read_fasta(file) if fasta else _read_job_proteins(file):
            where = f"{file}, {protein.name}"
            split_tokens(protein.sequence, where)
            if proteins.setdefault(protein.name, protein) != protein:
                raise InputError("two sequences have this name", where=where,
                                 fix="give each its own name")
    if not proteins:
        raise InputError("there is no protein sequence", where=str(path), fix="check --input")
    return list(proteins.values())


def _read_fasta(path: Path) -> Iterator[ProteinSequence]:
    text = read_text(path)
    if not text.lstrip().startswith((">", ";")):
        raise InputError("this is not FASTA", where=str(path), fix="FASTA starts with '>'")
    for number, (header, sequence) in enumerate(SimpleFastaParser(StringIO(text)), 1):
        name = (header.split() or [f"{path.stem}_{number}"])[0]
        letters = re.sub(r"\s", "", sequence).removesuffix("*")
        yield ProteinSequence(name, re.sub(r"<\w+>|.", _upper, letters))


def _upper(match: re.Match[str]) -> str:
    return match[0] if match[0] in INSIDE else match[0].upper()


def _read_job_proteins(path: Path) -> Iterator[ProteinSequence]:
    for job in read_jobs(path):
        for number, entity in enumerate(job.entities, 1):
            if isinstance(entity, Polymer) and entity.kind == "protein":
                yield ProteinSequence(f"{job.name}_{number}", entity.sequence)
