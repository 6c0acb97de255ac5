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

from gemmi import find_tabulated_residue

from protenix_ms.constants.restypes import SEQUENCE_LETTERS
from protenix_ms.errors import InputError
from protenix_ms.io.a3m import check_alignment, read_alignment_file
from protenix_ms.io.entities import MAX_CHAINS, check_entities
from protenix_ms.io.glycan import Linkage, parse_glycan
from protenix_ms.io.sequence import (
    check_chain_name,
    check_job_name,
    check_sequence,
)
from protenix_ms.io.text_file import find_file, plain_name, read_text, split_lines
from protenix_ms.job import (
    Alignment,
    AtomAddress,
    CovalentBond,
    Entity,
    Job,
    Ligand,
    Modification,
    Polymer,
    PolymerKind,
)

_POLYMERS = ("protein", "dna", "rna")
_TYPES = (*_POLYMERS, "ligand", "smiles", "glycan", "ccd", "ion")
_NUCLEIC = frozenset("ACGTUN")
_RESIDUE = re.compile(r"\(([^()]*)\)|([^()])")


@dataclass(frozen=True)
class Record:
    """One FASTA record: its type, chain name if the header gives one, label, text, and place."""

    kind: str | None
    name: str
    label: str
    text: str
    msa: str
    where: str


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
    first, second = fields[0].lower(), fields[1].lower() if len(fields) > 1 else ""
    if second in _TYPES:
        name = check_chain_name(fields[0], where)
        if len(fields) > 3:
            raise InputError(f"the header has {len(fields)} fields", where=where,
                             fix="write chain name, type and perhaps an a3m file")
        msa = fields[2] if len(fields) == 3 and fields[2] != "empty" else ""
        return Record(second, name, "", "", msa, where)
    named = second.startswith("name=")
    if first in _TYPES:
        label = header.partition("|")[2].strip()
        label = label[5:] if named else label
        name = label if named and re.fullmatch("[A-Za-z0-9]{1,4}", label) else ""
        return Record(first, name, label, "", "", where)
    boltz = len(fields) == 2 and len(fields[0]) <= 4 and re.fullmatch("[a-z]+", fields[1])
    if named or boltz:
        kind = fields[0] if named else fields[1]
        raise InputError(
            f"the header names the type {kind[:40]!r}", where=where, fix=f"use {', '.join(_TYPES)}"
        )
    return Record(None, "", header, "", "", where)


def read_fasta(path: Path) -> Job:
    """The job of a FASTA file, named after the file.

    Raises:
        InputError: see the module; a plain record that could as well be DNA or RNA.
    """
    text = read_text(path)
    name = check_job_name(plain_name(path).stem, str(path))
    records = parse_fasta(text, str(path))
    return join_chains(name, (c for record in records for c in _chains(record, path)), str(path))


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
    for (entity, linkages), copies in merged.items():
        names, labels = ([getattr(c, key) for c in copies] for key in ("name", "label"))
        ids = tuple(names) if all(names) else ()
        labels = tuple(labels) if any(labels) else ()
        entities.append(replace(entity, count=len(copies), ids=ids, labels=labels))
        bonds += [_glycosidic_bond(len(entities), linkage) for linkage in linkages]
    check_entities(tuple(entities), [copies[-1].where for copies in merged.values()], source)
    notes = ()
    if bonds and any(isinstance(entity, Polymer) for entity in entities):
        notes = ("its glycans are not bonded to a polymer: FASTA says no such bond; a Protenix "
                 "JSON does by covalent_bonds",)
    return Job(name, tuple(entities), tuple(bonds), source=source, notes=notes)


def _glycosidic_bond(entity: int, linkage: Linkage) -> CovalentBond:
    parent = AtomAddress(entity, linkage.parent, f"O{linkage.oxygen}")
    return CovalentBond(parent, AtomAddress(entity, linkage.child, f"C{linkage.carbon}"))


def _chains(record: Record, path: Path) -> Iterator[Chain]:
    named = (record.name, record.label, record.where)
    if record.msa and record.kind not in ("protein", "rna"):
        raise InputError(f"a chain of type {record.kind} cannot have an alignment",
                         where=record.where, fix="remove the third field of the header")
    if record.kind in ("ligand", "smiles"):
        yield Chain(Ligand(smiles=record.text), *named)
    elif record.kind == "glycan":
        codes, linkages = parse_glycan(record.text, record.where)
        if any(linkage.oxygen is None for linkage in linkages):
            raise InputError("a branch of the glycan names no linkage", where=record.where,
                             fix="write it like NAG(4-1 NAG)")
        yield Chain(Ligand(codes=codes), *named, linkages)
    elif record.kind in ("ccd", "ion"):
        code = record.text.removeprefix("CCD_").upper()
        if not (code.isascii() and code.replace("_", "").isalnum()):
            raise InputError(
                f"{code[:40]!a} is not a CCD code", where=record.where, fix="write one like ATP"
            )
        yield Chain(Ligand(codes=tuple(code.split("_")), is_ion=record.kind == "ion"), *named)
    else:
        parts = record.text.replace(" ", "").upper().removesuffix("*").split(":")
        if len(parts) > 1 and record.name:
            raise InputError("a named record holds several chains", where=record.where,
                             fix="one record per chain")
        alignment = _alignment(record, path)
        for number, part in enumerate(parts, 1):
            label = f"{record.label}:{number}" if record.label and parts[1:] else record.label
            polymer = read_polymer(part, record.kind, record.where)
            if alignment:
                msa = check_alignment(alignment, polymer.sequence, polymer.kind, record.where)
                polymer = replace(polymer, unpaired_msa=msa)
            yield Chain(polymer, record.name, label, record.where)


def _alignment(record: Record, path: Path) -> Alignment | None:
    if not record.msa:
        return None
    return read_alignment_file(find_file(record.msa, path.parent, record.where), record.where)


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
        code = (part[1] or "").strip()
        if part[2]:
            letters.append(part[2])
            continue
        if not (code.isascii() and code.isalnum()):
            raise InputError(f"{code[:40]!a} is not a CCD code", where=where, fix="write (MSE)")
        parent = find_tabulated_residue(code).one_letter_code.upper()
        known = parent in SEQUENCE_LETTERS[kind or "protein"]
        letters.append(parent if known else "X")
        changes.append(Modification(code, len(letters)))
    sequence = "".join(letters)
    if kind is None and sequence and set(sequence) <= _NUCLEIC:
        raise InputError(
            "the sequence could be protein, DNA or RNA",
            where=where,
            fix="write the type into the header, like '>A|dna'",
        )
    check_sequence(sequence, kind or "protein", where)
    return Polymer(kind or "protein", sequence, modifications=tuple(changes))
