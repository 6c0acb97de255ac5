# SPDX-License-Identifier: Apache-2.0
"""Protenix's job JSON: a list of jobs, each a name and a list of entities.

Follows upstream's `protenix/data/inference/{json_parser,json_to_feature}.py` and the alignment
fields of `data/msa/msa_featurizer.py`, old spellings included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from protenix_ms.errors import InputError
from protenix_ms.io import sequence as texts
from protenix_ms.io.a3m import check_alignment, read_alignment_file
from protenix_ms.io.entities import MAX_CHAINS, check_entities, read_own_components
from protenix_ms.io.json_model import (
    CamelModel,
    EntityPlace,
    JsonModel,
    OneOf,
    Text,
    Whole,
    read_model,
    unsupported,
    walk_entities,
    within,
)
from protenix_ms.io.protenix_links import (
    BondEntry,
    ConstraintEntry,
    read_bonds,
    read_constraints,
)
from protenix_ms.io.protenix_templates import TemplateEntry, read_templates
from protenix_ms.io.template_hits import read_hits
from protenix_ms.io.text_file import find_file
from protenix_ms.job import (
    LIGAND_SUFFIXES,
    MAX_SEED,
    Alignment,
    Entity,
    Job,
    Ligand,
    Modification,
    Polymer,
    PolymerKind,
)

KINDS: dict[str, PolymerKind] = {
    "proteinChain": "protein", "dnaSequence": "dna", "rnaSequence": "rna"}
Seeds = list[Annotated[Whole, within(0, MAX_SEED)]]
_LABELS = ("label_entity_id", "label_asym_id")  # written by upstream's `protenix json`


class ProteinChange(CamelModel):
    """A modified residue of a protein."""

    code: Text = Field(alias="ptmType")
    position: Whole = Field(alias="ptmPosition")


class NucleotideChange(CamelModel):
    """A modified residue of DNA or RNA."""

    code: Text = Field(alias="modificationType")
    position: Whole = Field(alias="basePosition")


class Copies(CamelModel):
    """Any entity of Protenix and of AlphaFold Server."""

    count: Annotated[Whole, within(1, MAX_CHAINS)] = 1


class ProteinBase(Copies):
    """A protein of both."""

    sequence: Text
    modifications: list[ProteinChange] = []


class NucleotideBase(Copies):
    """A DNA or RNA chain of both."""

    sequence: Text
    modifications: list[NucleotideChange] = []


class LigandBase(Copies):
    """A ligand of both: ``CCD_`` and codes; in Protenix also ``FILE_`` and a path, or SMILES."""

    ligand: Text


class IonBase(Copies):
    """An ion of both: a CCD code."""

    ion: Text


class _Named(Copies):
    """What only entities of Protenix have."""

    id: list[Text] = []
    description: list[str] = []
    label_entity_id: Any = Field(None, alias="label_entity_id")
    label_asym_id: Any = Field(None, alias="label_asym_id")


class OldAlignments(JsonModel):
    """The older form of alignments: a folder with pairing.a3m and non_pairing.a3m."""

    precomputed_msa_dir: Text | None = None
    pairing_db: Any = None


class ProteinChain(_Named, ProteinBase):
    """A protein."""

    kept_blank = ("pairedMsa", "unpairedMsa")
    paired_msa: str | None = None
    paired_msa_path: Text | None = None
    unpaired_msa: str | None = None
    unpaired_msa_path: Text | None = None
    templates_path: Text | None = None
    templates: list[TemplateEntry] = []
    msa: OldAlignments | None = None
    glycans: Annotated[Any, unsupported(
        "glycans are not supported", "write ligands and covalent_bonds")] = None


class RnaSequence(_Named, NucleotideBase):
    """An RNA chain."""

    kept_blank = ("unpairedMsa",)
    unpaired_msa: str | None = None
    unpaired_msa_path: Text | None = None


class DnaSequence(_Named, NucleotideBase):
    """A DNA chain."""

    meant: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("pairedMsa", "pairedMsaPath", "unpairedMsa", "unpairedMsaPath", "msa"),
        "remove it: a DNA chain cannot have an alignment")


class LigandEntry(_Named, LigandBase):
    """A ligand."""


class IonEntry(_Named, IonBase):
    """An ion."""


class EntityEntry(OneOf):
    """An entity of a Protenix job."""

    protein_chain: ProteinChain | None = None
    dna_sequence: DnaSequence | None = None
    rna_sequence: RnaSequence | None = None
    ligand: LigandEntry | None = None
    ion: IonEntry | None = None


class ProtenixJob(JsonModel):
    """A job of a Protenix JSON."""

    meant: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("seed", "seeds"), "write 'modelSeeds' if that is meant"),
        **{key: f'write "constraint": {{"{key}": ...}}' for key in ("contact", "pocket")},
        **dict.fromkeys(("bonds", "bondedAtomPairs"), "write 'covalent_bonds'"),
        "version": 'it belongs to "dialect": write "alphafold3" or "alphafoldserver" there'}
    name: Annotated[Text, AfterValidator(texts.check_job_name)]
    sequences: list[EntityEntry]
    model_seeds: Seeds = Field([], alias="modelSeeds")
    covalent_bonds: list[BondEntry] = []
    constraint: ConstraintEntry | None = None
    assembly_id: Any = None
    user_ccd: Text | None = Field(None, alias="userCCD")
    user_ccd_path: Text | None = Field(None, alias="userCCDPath")


def read_protenix_job(value: Any, folder: Path, source: str) -> Job:
    """Read a job of a Protenix JSON; paths start from `folder`, then from the working directory.

    Raises:
        InputError: anything that is not as upstream's format says.
    """
    where = name_job(source, value)
    entry = read_model(ProtenixJob, value, where, source.rpartition(", ")[2])
    notes = entry.list_unused("assembly_id")
    walked = list(walk_entities(entry.sequences, where, folder, notes))
    entities = tuple(_with_labels(_read_entity(content, place), content, place)
                     for place, content in walked)
    check_entities(entities, [place.where for place, _ in walked], where)
    contacts, pocket = read_constraints(entry.constraint, entities, f"{where}, constraint")
    return Job(
        entry.name, entities, read_bonds(entry.covalent_bonds, entities, where), contacts, pocket,
        tuple(entry.model_seeds), source=source, notes=tuple(dict.fromkeys(notes)),
        own_components=read_own_components(entry.user_ccd, entry.user_ccd_path, folder, where))


def name_job(source: str, value: Any) -> str:
    """Add the name of a job to its place, where it has one."""
    name = value.get("name") if isinstance(value, dict) else None
    return f"{source} {name[:60]!a}" if isinstance(name, str) else source


def _read_entity(entry: Any, place: EntityPlace) -> Entity:
    """Read an entity, one of the fields of `EntityEntry`."""
    place.notes.extend(entry.list_unused(*_LABELS))
    ids = tuple(texts.check_chain_name(name, place.where) for name in entry.id)
    if place.key in KINDS:
        return _read_polymer(entry, ids, place)
    text = entry.value_of(place.key)
    if place.key == "ion" or text.startswith("CCD_"):
        return read_codes(text, entry.count, place, ids)
    if text.startswith("FILE_"):
        return Ligand(file=find_ligand(text[5:], place), count=entry.count, ids=ids)
    return Ligand(smiles=texts.check_smiles(text, place.where), count=entry.count, ids=ids)


def _with_labels(entity: Entity, entry: _Named, place: EntityPlace) -> Entity:
    """Add what the user calls the copies, which the key description lists."""
    if entry.description and len(entry.description) != entity.count:
        raise InputError(f"{len(entry.description)} descriptions for {entity.count} copies",
                         where=place.where, fix="give one per copy, or none")
    return replace(entity, labels=tuple(entry.description))


def read_codes(text: str, count: int, place: EntityPlace, ids: tuple[str, ...] = ()) -> Ligand:
    """Read a ligand or ion of CCD codes, with or without ``CCD_``."""
    ion = place.key == "ion"
    codes = text.removeprefix("CCD_").split("_", 0 if ion else -1)  # an ion is one component
    return Ligand(tuple(texts.check_code(code, place.where) for code in codes), count=count,
                  ids=ids, is_ion=ion)


def find_ligand(name: str, place: EntityPlace) -> Path:
    """Find the file of a ligand, whose suffix must name a format that is read."""
    path = find_file(name, place.folder, place.where)
    if path.suffix.lower() not in LIGAND_SUFFIXES:
        raise InputError(f"a ligand file {path.suffix!r} is not read", where=place.where,
                         fix=f"use {', '.join(LIGAND_SUFFIXES)}")
    return path


def _read_polymer(entry: Any, ids: tuple[str, ...], place: EntityPlace) -> Polymer:
    kind = KINDS[place.key]
    sequence = texts.check_sequence(entry.sequence, kind, place.where)
    alignments = [read_alignment(key, entry.value_of(key), entry.value_of(f"{key}Path"), place)
                  for key in ("pairedMsa", "unpairedMsa")]
    if entry.value_of("msa"):
        if any(alignments) or entry.paired_msa is not None or entry.unpaired_msa is not None:
            place.note("msa is not read: pairedMsa or unpairedMsa stands beside it")
        else:
            alignments = _read_old_alignments(entry.msa, place)
    paired, unpaired = (alignment and check_alignment(alignment, sequence, kind, place.where)
                        for alignment in alignments)
    name = entry.value_of("templatesPath")
    structures = read_templates(entry.value_of("templates") or (), sequence, place)
    return Polymer(kind, sequence, entry.count, ids,
                   read_changes(entry.modifications, len(sequence), place.where, "CCD_"),
                   paired, unpaired, name and _find_templates(name, place), structures)


def read_changes(
    changes: Sequence[ProteinChange | NucleotideChange], length: int, where: str, prefix: str | None
) -> tuple[Modification, ...]:
    """Read the modified residues of a chain; see `check_changes`."""
    pairs = [(change.code, change.position) for change in changes]
    keys = list(type(changes[0]).keys()) if changes else ["", ""]
    return texts.check_changes(pairs, (keys[0], keys[1]), length, where, prefix)


def read_alignment(
    key: str, text: str | None, path: str | None, place: EntityPlace
) -> Alignment | None:
    """Read ``key`` (inline text) or ``keyPath`` (a file); an empty text means none.

    Of both the text is read, which is upstream's rule, and a note says so.
    """
    if text is not None:
        if path is not None:
            place.note(f"{key}Path is not read: {key} stands beside it")
        return Alignment(text, f"inline {key}") if text.strip() else None
    if path is None:
        return None
    where = f"{place.where}, {key}Path"
    return read_alignment_file(find_file(path, place.folder, where), where)


def _read_old_alignments(msa: OldAlignments, place: EntityPlace) -> list[Alignment | None]:
    """Read pairing.a3m and non_pairing.a3m of the folder that the older form names."""
    place.notes.extend(msa.list_unused("pairing_db"))
    if msa.precomputed_msa_dir is None:
        return [None, None]
    where = f"{place.where}, precomputed_msa_dir"
    folder = find_file(msa.precomputed_msa_dir, place.folder, where, directory=True)
    files = [folder / "pairing.a3m", folder / "non_pairing.a3m"]
    if not any(file.is_file() for file in files):
        raise InputError(f"{folder} has no pairing.a3m or non_pairing.a3m", where=place.where,
                         fix="correct the folder")
    return [read_alignment_file(file, where) if file.is_file() else None for file in files]


def _find_templates(name: str, place: EntityPlace) -> Path:
    """Find the file of template hits, and check that it is one."""
    where = f"{place.where}, templatesPath"
    path = find_file(name, place.folder, where)
    read_hits(path, where)
    return path
