# SPDX-License-Identifier: Apache-2.0
"""FASTA as a job: one file is one complex, every record (and every part between ':') a chain.

Three dialects of header, told apart per record:

* ``>A|protein`` (Boltz): chain name, type, optionally an a3m file or ``empty``;
* ``>protein|name=A`` (Chai): type and name;
* anything else: a protein.

Types: protein, dna, rna, ligand or smiles (SMILES), ccd (a CCD code), ion. Identical chains become
copies of one entity, so that the model knows they are exchangeable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from protenix_ms.errors import InputError
from protenix_ms.io.a3m import check_alignment, read_alignment_file
from protenix_ms.io.sequence import (
    MAX_CHAINS,
    check_chain_name,
    check_entities,
    check_job_name,
    check_sequence,
)
from protenix_ms.io.text_file import find_file, read_text, split_lines
from protenix_ms.job import Entity, Job, Ligand, Polymer

_POLYMERS = ("protein", "dna", "rna")
_TYPES = (*_POLYMERS, "ligand", "smiles", "ccd", "ion")
_NUCLEIC = frozenset("ACGTUN")


@dataclass(frozen=True)
class Record:
    """One FASTA record: its type, chain name if the header gives one, text, and place."""

    kind: str | None
    name: str
    text: str
    msa: str
    where: str


def parse_fasta(text: str, source: str) -> list[Record]:
    """Records of a FASTA file.

    Raises:
        InputError: no record, text before the first header, a record without a sequence.
    """
    records: list[Record] = []
    lines: list[list[str]] = []
    for number, line in enumerate(split_lines(text), 1):
        line = line.strip()
        place = f"{source}, line {number}"
        if not line or line[0] == ";":
            continue
        if line[0] == ">":
            if len(records) == MAX_CHAINS:
                fix = "one file is one complex; give separate jobs as separate files"
                raise InputError(f"more than {MAX_CHAINS} records", where=place, fix=fix)
            records.append(_header(line[1:].strip(), place, len(records) + 1))
            lines.append([])
        elif records:
            lines[-1].append(line)
        else:
            fix = "start every sequence with a '>' line"
            raise InputError("text stands before the first header", where=place, fix=fix)
    records = [replace(record, text="".join(part)) for record, part in zip(records, lines)]
    if not records:
        raise InputError("the FASTA file has no sequence", where=source, fix="add '>name' lines")
    for record in records:
        if not record.text:
            raise InputError("no sequence follows the header", where=record.where, fix="add it")
    return records


def _header(header: str, where: str, number: int) -> Record:
    fields = [field.strip() for field in header.split("|")]
    where = f"{where}, record {number}"
    if len(fields) >= 2 and fields[0].lower() in _TYPES and fields[1].startswith("name="):
        label = fields[1][5:]
        name = label if re.fullmatch("[A-Za-z0-9]{1,4}", label) else ""
        return Record(fields[0].lower(), name, "", "", where)
    if 2 <= len(fields) <= 3 and fields[1].lower() in _TYPES:
        name = check_chain_name(fields[0], where)
        msa = fields[2] if len(fields) == 3 and fields[2] != "empty" else ""
        return Record(fields[1].lower(), name, "", msa, where)
    chai = len(fields) >= 2 and fields[1].startswith("name=")
    boltz = len(fields) == 2 and len(fields[0]) <= 4 and re.fullmatch("[a-z]+", fields[1])
    if chai or boltz:
        kind = fields[0] if chai else fields[1]
        raise InputError(
            f"the header names the type {kind[:40]!r}", where=where, fix=f"use {', '.join(_TYPES)}"
        )
    return Record(None, "", "", "", where)


def read_fasta(path: Path) -> Job:
    """The job of a FASTA file, named after the file.

    Raises:
        InputError: see the module; a plain record that could as well be DNA or RNA.
    """
    text = read_text(path)
    source = str(path)
    name = check_job_name(path.stem, source)
    chains = [chain for record in parse_fasta(text, source) for chain in _chains(record, path)]
    merged: dict[Entity, list[tuple[str, str]]] = {}
    for entity, chain_name, where in chains:
        merged.setdefault(entity, []).append((chain_name, where))
    entities, places = [], []
    for entity, copies in merged.items():
        names = tuple(chain_name for chain_name, _ in copies)
        entities.append(replace(entity, count=len(copies), ids=names if all(names) else ()))
        places.append(copies[-1][1])
    check_entities(tuple(entities), places, source)
    return Job(name=name, entities=tuple(entities), source=source)


def _chains(record: Record, path: Path) -> list[tuple[Entity, str, str]]:
    if record.kind in ("ligand", "smiles"):
        return [(Ligand(smiles=record.text), record.name, record.where)]
    if record.kind in ("ccd", "ion"):
        code = record.text.removeprefix("CCD_").upper()
        if not (code.isascii() and code.replace("_", "").isalnum()):
            raise InputError(
                f"{code[:40]!a} is not a CCD code", where=record.where, fix="write one like ATP"
            )
        entity = Ligand(codes=tuple(code.split("_")), is_ion=record.kind == "ion")
        return [(entity, record.name, record.where)]
    parts = record.text.replace(" ", "").upper().removesuffix("*").split(":")
    if len(parts) > 1 and record.name:
        raise InputError(
            "a named record holds several chains", where=record.where, fix="one record per chain"
        )
    return [(_polymer(record, part, path), record.name, record.where) for part in parts]


def _polymer(record: Record, sequence: str, path: Path) -> Polymer:
    kind = record.kind
    if kind is None:
        if sequence and set(sequence) <= _NUCLEIC:
            raise InputError(
                "the sequence could be protein, DNA or RNA",
                where=record.where,
                fix="write the type into the header, like '>A|dna'",
            )
        kind = "protein"
    check_sequence(sequence, kind, record.where)
    msa = None
    if record.msa and kind != "dna":
        found = find_file(record.msa, path.parent, record.where)
        msa = read_alignment_file(found, record.where)
        msa = check_alignment(msa, sequence, kind, record.where)
    return Polymer(kind=kind, sequence=sequence, unpaired_msa=msa)
