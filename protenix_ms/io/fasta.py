# SPDX-License-Identifier: Apache-2.0
"""FASTA as a job: one file is one complex, every record (and every part between ':') a chain.

Three dialects of header, told apart per record:

* ``>A|protein`` (Boltz): chain name, type, optionally an a3m file or ``empty``;
* ``>protein|name=A`` or ``>protein|label`` (Chai): type and name;
* anything else: a protein.

Types: protein, dna, rna, ligand or smiles (SMILES), glycan (`io.glycan`), ccd (a CCD code), ion.
Parentheses in a sequence hold the CCD code of a modified residue, as in ``RKDES(MSE)EE``. Identical
chains become copies of one entity, so that the model knows they are exchangeable; headers are kept
as names of the copies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from gemmi import find_tabulated_residue

from protenix_ms.constants.restypes import SEQUENCE_LETTERS
from protenix_ms.errors import InputError
from protenix_ms.io.a3m import check_alignment, read_alignment_file
from protenix_ms.io.entities import MAX_CHAINS, check_entities
from protenix_ms.io.glycan import Linkage, parse_glycan
from protenix_ms.io.sequence import (
    check_chain_name,
    check_code,
    check_job_name,
    check_sequence,
)
from protenix_ms.io.text_file import find_file, plain_name, read_text, split_lines
from protenix_ms.job import (
    AtomAddress,
    CovalentBond,
    Entity,
    Job,
    Ligand,
    Modification,
    Polymer,
    PolymerKind,
)

_TYPES = ("protein", "dna", "rna", "ligand", "smiles", "glycan", "ccd", "ion")
_NUCLEIC = frozenset("ACGTUN")
_RESIDUE = re.compile(r"\(([^()]*)\)|([^()])")


@dataclass
class Record:
    """One FASTA record: place, type, chain name, label, a3m file, and text; "" where absent."""

    where: str
    kind: str = ""
    name: str = ""
    label: str = ""
    msa: str = ""
    text: str = ""


@dataclass(frozen=True)
class Chain:
    """One chain of a job to be: the entity it is a copy of, and what it is called.

    Attributes:
        entity: with a count of 1, without names.
        name: chain name for the structure files, or "".
        label: what the user calls it, or "".
        where: its place.
        linkages: bonds inside a glycan.
    """

    entity: Entity
    name: str
    label: str
    where: str
    linkages: tuple[Linkage, ...] = ()


def read_fasta(path: Path) -> Job:
    """Read the job of a FASTA file, named after the file.

    Raises:
        InputError: see the module; a plain record that could as well be DNA or RNA.
    """
    text = read_text(path)
    name = check_job_name(plain_name(path).stem, str(path))
    chains = (chain for record in _parse(text, str(path)) for chain in _read_chains(record, path))
    return join_chains(name, chains, str(path))


def _parse(text: str, source: str) -> list[Record]:
    """Split a FASTA file into records.

    Raises:
        InputError: no record, text before the first header, a record without a sequence.
    """
    records: list[Record] = []
    for number, line in enumerate(map(str.strip, split_lines(text)), 1):
        place = f"{source}, line {number}"
        if line[:1] == ">":
            if len(records) == MAX_CHAINS:
                raise InputError(f"more than {MAX_CHAINS} records", where=place, fix="one file is "
                                 "one complex; give separate jobs as separate files")
            records.append(_read_header(line[1:].strip(), f"{place}, record {len(records) + 1}"))
        elif line and line[0] != ";":
            if not records:
                raise InputError("text stands before the first header", where=place,
                                 fix="start every sequence with a '>' line")
            records[-1].text += line
    if not records:
        raise InputError("the FASTA file has no sequence", where=source, fix="add '>name' lines")
    for record in records:
        if not record.text:
            raise InputError("no sequence follows the header", where=record.where, fix="add it")
    return records


def _read_header(header: str, where: str) -> Record:
    fields = [field.strip() for field in header.split("|")]
    first, second = fields[0].lower(), fields[1].lower() if len(fields) > 1 else ""
    if second in _TYPES:
        if len(fields) > 3:
            raise InputError(f"the header has {len(fields)} fields", where=where,
                             fix="write chain name, type and perhaps an a3m file")
        msa = fields[2] if len(fields) == 3 and fields[2] != "empty" else ""
        return Record(where, second, check_chain_name(fields[0], where), msa=msa)
    named = second.startswith("name=")
    if first in _TYPES:
        label = header.partition("|")[2].strip()[5 if named else 0:]
        short = named and re.fullmatch("[A-Za-z0-9]{1,4}", label)
        return Record(where, first, label if short else "", label)
    boltz = len(fields) == 2 and len(fields[0]) <= 4 and re.fullmatch("[a-z]+", fields[1])
    if named or boltz:
        kind = fields[0] if named else fields[1]
        raise InputError(f"the header names the type {kind[:40]!r}", where=where,
                         fix=f"use {', '.join(_TYPES)}")
    return Record(where, label=header)


def join_chains(name: str, chains: Iterable[Chain], source: str) -> Job:
    """Make a job of chains; identical ones become copies of one entity.

    Raises:
        InputError: chain names that repeat, too many chains or residues.
    """
    merged: dict[tuple[Entity, tuple[Linkage, ...]], list[Chain]] = {}
    for chain in chains:
        merged.setdefault((chain.entity, chain.linkages), []).append(chain)
    entities: list[Entity] = []
    bonds: list[CovalentBond] = []
    for number, ((entity, linkages), copies) in enumerate(merged.items(), 1):
        names, labels = (tuple(getattr(c, key) for c in copies) for key in ("name", "label"))
        entities.append(replace(entity, count=len(copies), ids=names if all(names) else (),
                                labels=labels if any(labels) else ()))
        bonds += [CovalentBond(AtomAddress(number, link.parent, f"O{link.oxygen}"),
                               AtomAddress(number, link.child, f"C{link.carbon}"))
                  for link in linkages]
    check_entities(tuple(entities), [copies[-1].where for copies in merged.values()], source)
    notes: tuple[str, ...] = ()
    if bonds and any(isinstance(entity, Polymer) for entity in entities):
        notes = ("its glycans are not bonded to a polymer: FASTA says no such bond; a Protenix "
                 "JSON does by covalent_bonds",)
    return Job(name, tuple(entities), tuple(bonds), source=source, notes=notes)


def _read_chains(record: Record, path: Path) -> Iterator[Chain]:
    """Yield the chains of a record; only one without a name may hold several."""
    named, where = (record.name, record.label, record.where), record.where
    if record.msa and record.kind not in ("protein", "rna"):
        raise InputError(f"a chain of type {record.kind} cannot have an alignment", where=where,
                         fix="remove the third field of the header")
    if record.kind in ("ligand", "smiles"):
        yield Chain(Ligand(smiles=record.text), *named)
    elif record.kind == "glycan":
        codes, linkages = parse_glycan(record.text, where)
        if any(linkage.oxygen is None for linkage in linkages):
            raise InputError("a branch of the glycan names no linkage", where=where,
                             fix="write it like NAG(4-1 NAG)")
        yield Chain(Ligand(codes=codes), *named, linkages)
    elif record.kind in ("ccd", "ion"):
        codes = tuple(check_code(code, where, "ATP") for code in
                      record.text.removeprefix("CCD_").upper().split("_"))
        yield Chain(Ligand(codes=codes, is_ion=record.kind == "ion"), *named)
    else:
        parts = record.text.replace(" ", "").upper().removesuffix("*").split(":")
        if len(parts) > 1 and record.name:
            raise InputError("a named record holds several chains", where=where,
                             fix="one record per chain")
        alignment = record.msa and read_alignment_file(
            find_file(record.msa, path.parent, where), where)
        for number, part in enumerate(parts, 1):
            label = f"{record.label}:{number}" if record.label and parts[1:] else record.label
            polymer = read_polymer(part, cast("PolymerKind | None", record.kind or None), where)
            if alignment:
                polymer = replace(polymer, unpaired_msa=check_alignment(
                    alignment, polymer.sequence, polymer.kind, where))
            yield Chain(polymer, record.name, label, where)


def read_polymer(text: str, kind: PolymerKind | None, where: str) -> Polymer:
    """Read a sequence in upper case, with CCD codes of modified residues in parentheses.

    Args:
        kind: None for a protein that says so by its letters only.

    Raises:
        InputError: a foreign letter, or letters that could be protein, DNA or RNA.
    """
    letters: list[str] = []
    changes: list[Modification] = []
    parts = list(_RESIDUE.finditer(text))
    if "".join(part[0] for part in parts) != text:
        raise InputError("a parenthesis is not closed or not opened", where=where,
                         fix="write the CCD code of a modified residue like (MSE)")
    for part in parts:
        letter = part[2]
        if not letter:
            code = check_code(part[1].strip(), where, "(MSE)")
            letter = find_tabulated_residue(code).one_letter_code.upper()
            letter = letter if letter in SEQUENCE_LETTERS[kind or "protein"] else "X"
            changes.append(Modification(code, len(letters) + 1))
        letters.append(letter)
    sequence = "".join(letters)
    if kind is None and sequence and set(sequence) <= _NUCLEIC:
        raise InputError("the sequence could be protein, DNA or RNA", where=where,
                         fix="write the type into the header, like '>A|dna'")
    check_sequence(sequence, kind or "protein", where)
    return Polymer(kind or "protein", sequence, modifications=tuple(changes))
