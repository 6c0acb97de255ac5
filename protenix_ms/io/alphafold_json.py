# SPDX-License-Identifier: Apache-2.0
"""Jobs of AlphaFold 3 (``"dialect": "alphafold3"``, versions 1 to 4) and of AlphaFold Server.

In both, entries of equal content are copies of one entity, letters that AlphaFold 3 does not know
are unknown residues, and any other key is refused. AlphaFold 3's chains are named, bonds address
chains by name, a file is one job, and rows of alignments stay as written; user-defined components
have no counterpart here and are refused rather than dropped. The server's jobs (``"dialect":
"alphafoldserver"``, version 1) look like those of Protenix, have fewer keys, and their codes stand
with or without ``CCD_``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

from pydantic import AfterValidator, BeforeValidator, Field, Strict

from protenix_ms.errors import InputError
from protenix_ms.io import protenix_json
from protenix_ms.io import sequence as texts
from protenix_ms.io.a3m import check_alignment
from protenix_ms.io.entities import (
    check_entities,
    length_of,
    make_bonds,
    merge_equal_entities,
    read_own_components,
)
from protenix_ms.io.json_model import (
    CamelModel,
    EntityPlace,
    FieldError,
    OneOf,
    Text,
    Texts,
    Whole,
    check_range,
    read_model,
    walk_entities,
    within,
)
from protenix_ms.io.protenix_templates import TemplateEntry, read_templates
from protenix_ms.io.server_glycans import expand_glycan
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


def _check_end(end: Any) -> Any:
    if isinstance(end, list) and len(end) != 3:
        raise FieldError("an atom is not [chain, position, atom name]", fix='write ["A", 5, "SG"]')
    return end


def _check_pair(ends: list[Any]) -> list[Any]:
    if len(ends) != 2:
        raise FieldError(f"a bond with {len(ends)} ends", fix="give two")
    return ends


_End = Annotated[tuple[Text, Whole, Text], BeforeValidator(_check_end), Strict(False)]
_Pair = Annotated[list[_End], AfterValidator(_check_pair)]


class _Entry(CamelModel):
    """Any entity of AlphaFold 3."""

    meant: ClassVar[Mapping[str, str]] = {
        "count": "AlphaFold 3 writes one id per copy, like ['A', 'B']", **dict.fromkeys(
            ("unpairedMsa", "unpairedMsaPath", "pairedMsa", "pairedMsaPath"),
            "remove it: AlphaFold 3 takes no such alignment for this kind of chain")}
    id: Texts
    description: Any = None


class DnaEntry(_Entry):
    """A DNA chain."""

    sequence: Text
    modifications: list[protenix_json.NucleotideChange] = []


class RnaEntry(DnaEntry):
    """An RNA chain."""

    unpaired_msa: str | None = None
    unpaired_msa_path: Text | None = None


class ProteinEntry(_Entry):
    """A protein."""

    sequence: Text
    modifications: list[protenix_json.ProteinChange] = []
    unpaired_msa: str | None = None
    unpaired_msa_path: Text | None = None
    paired_msa: str | None = None
    paired_msa_path: Text | None = None
    templates: list[TemplateEntry] = []


class LigandEntry(_Entry):
    """A ligand."""

    ccd_codes: Texts = []
    smiles: Text | None = None


class EntityEntry(OneOf):
    """An entity of AlphaFold 3."""

    protein: ProteinEntry | None = None
    rna: RnaEntry | None = None
    dna: DnaEntry | None = None
    ligand: LigandEntry | None = None


class AlphaFold3Job(CamelModel):
    """A job of AlphaFold 3."""

    name: Text
    model_seeds: protenix_json.Seeds = []
    sequences: list[EntityEntry]
    bonded_atom_pairs: list[_Pair] = []
    user_ccd: Text | None = Field(None, alias="userCCD")
    user_ccd_path: Text | None = Field(None, alias="userCCDPath")
    dialect: str
    version: Annotated[Whole, within(1, 4)] = 4


class _ServerModel(CamelModel):
    """Base of the models of AlphaFold Server."""

    meant: ClassVar[Mapping[str, str]] = {
        "maxTemplateDate": "remove it: templates are not searched", **dict.fromkeys(
            ("covalent_bonds", "constraint", "id", "unpairedMsa", "unpairedMsaPath", "pairedMsa",
             "pairedMsaPath", "templatesPath", "msa"),
            "leave out dialect and version: only a Protenix JSON has it")}


class GlycanEntry(_ServerModel):
    """A tree of sugars on a residue."""

    residues: Text
    position: Whole


class ServerProtein(_ServerModel, protenix_json.ProteinBase):
    """A protein of the server."""

    use_structure_template: bool | None = None
    glycans: list[GlycanEntry] = []


class ServerNucleotides(_ServerModel, protenix_json.NucleotideBase):
    """A DNA or RNA chain of the server."""


class ServerLigand(_ServerModel, protenix_json.LigandBase):
    """A ligand of the server."""


class ServerIon(_ServerModel, protenix_json.IonBase):
    """An ion of the server."""


class ServerEntity(OneOf):
    """An entity of the server."""

    protein_chain: ServerProtein | None = None
    rna_sequence: ServerNucleotides | None = None
    dna_sequence: ServerNucleotides | None = None
    ligand: ServerLigand | None = None
    ion: ServerIon | None = None


class ServerJob(_ServerModel):
    """A job of AlphaFold Server."""

    name: Text
    model_seeds: protenix_json.Seeds = []
    sequences: list[ServerEntity]
    dialect: str | None = None
    version: Annotated[Whole, within(1, 1)] = 1


def looks_like_alphafold3(value: Any) -> bool:
    """Tell whether a job without a dialect has entities that only AlphaFold 3 has."""
    listed = value.get("sequences") if isinstance(value, dict) else None
    entries = [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []
    ligands = [e["ligand"] for e in entries if isinstance(e.get("ligand"), dict)]
    return any({"protein", "rna", "dna"} & {*entry} for entry in entries) or any(
        {"ccdCodes", "smiles"} & {*ligand} for ligand in ligands)


def looks_like_server(value: Any) -> bool:
    """Tell whether a job without a dialect has the keys of the server's older files, no others."""
    return (isinstance(value, dict) and {*value} == {"name", "modelSeeds", "sequences"}
            and value["modelSeeds"] == [])


def read_alphafold3_job(value: Any, folder: Path, source: str) -> Job:
    """Read the job of an AlphaFold 3 document.

    Raises:
        InputError: anything AlphaFold 3 would refuse.
    """
    return _read_job(AlphaFold3Job, _read_entity, value, folder, source)


def read_server_job(value: Any, folder: Path, source: str) -> Job:
    """Read one job of an AlphaFold Server file; glycans become bonded ligands at its end.

    Raises:
        InputError: another version, a key that the server's format does not have.
    """
    return _read_job(ServerJob, _read_server_entity, value, folder, source)


def _read_job(
    model: type[AlphaFold3Job] | type[ServerJob], read_entity: Callable[[Any, EntityPlace], Entity],
    value: Any, folder: Path, source: str,
) -> Job:
    where = protenix_json.name_job(source, value)
    entry = read_model(model, value, where)
    name, note = texts.folder_name(entry.name, where)
    notes = [note] if note else []
    walked = list(walk_entities(entry.sequences, where, folder, notes))
    entities = tuple(read_entity(content, place) for place, content in walked)
    places, own = [place.where for place, _ in walked], ""
    bonds: tuple[CovalentBond, ...]
    if isinstance(entry, AlphaFold3Job):
        bonds = _read_bonds(entry.bonded_atom_pairs, entities, where)
        own = read_own_components(entry.user_ccd, entry.user_ccd_path, folder, where)
    else:
        entities, bonds = _read_glycans(entities, walked)
        places += [where] * (len(entities) - len(places))
    check_entities(entities, places, where)
    return merge_equal_entities(Job(
        name, entities, bonds, seeds=tuple(entry.model_seeds), source=source, notes=tuple(notes),
        own_components=own))


def _read_glycans(
    entities: tuple[Entity, ...], walked: Sequence[tuple[EntityPlace, Any]]
) -> tuple[tuple[Entity, ...], tuple[CovalentBond, ...]]:
    """Add a ligand for every glycan of the proteins, and the bonds that hold it."""
    ligands: list[Ligand] = []
    bonds: list[CovalentBond] = []
    for number, (place, content) in enumerate(walked, 1):
        for index, glycan in enumerate(getattr(content, "glycans", ()), 1):
            where, chain = f"{place.where}, glycan {index}", cast(Polymer, entities[number - 1])
            check_range(glycan.position, 1, len(chain.sequence), "position", where)
            ligand, links, note = expand_glycan(
                glycan.residues, chain, number, glycan.position,
                len(entities) + len(ligands) + 1, where)
            ligands.append(ligand)
            bonds += links
            place.note(note)
    return (*entities, *ligands), make_bonds(
        [(f"covalent bond {i}", bond.first, bond.second) for i, bond in enumerate(bonds, 1)],
        (*entities, *ligands))


def _read_server_entity(entry: protenix_json.Copies, place: EntityPlace) -> Entity:
    kind = protenix_json.KINDS.get(place.key)
    if kind is None:
        return protenix_json.read_codes(entry.value_of(place.key), entry.count, place)
    sequence, changes = _read_chain(entry, kind, None, place)
    return Polymer(kind, sequence, entry.count, modifications=changes)


def _read_chain(
    entry: Any, kind: PolymerKind, prefix: str | None, place: EntityPlace
) -> tuple[str, tuple[Modification, ...]]:
    """Read sequence and modifications as AlphaFold 3 does; note letters that become unknown."""
    changes = protenix_json.read_changes(
        entry.modifications, len(entry.sequence), place.where, prefix)
    sequence, note = texts.read_unknown_letters(entry.sequence, kind, changes)
    if note:
        place.note(note)
    return texts.check_sequence(sequence, kind, place.where), changes


def _read_entity(entry: Any, place: EntityPlace) -> Entity:
    """Read an entity, one of the fields of `EntityEntry`."""
    ids = tuple(texts.check_chain_name(name, place.where) for name in entry.id)
    if isinstance(entry, LigandEntry):
        return _read_ligand(entry, ids, place)
    kind = cast(PolymerKind, place.key)
    sequence, changes = _read_chain(entry, kind, "", place)
    alignments: list[Alignment | None] = []
    for key in ("pairedMsa", "unpairedMsa"):
        text, path = entry.value_of(key), entry.value_of(f"{key}Path")
        if text and path:
            raise InputError(f"{key} and {key}Path stand together", where=place.where,
                             fix="keep one of them")
        alignment = protenix_json.read_alignment(key, text, path, place)
        alignments.append(alignment and check_alignment(alignment, sequence, kind, place.where))
    structures = read_templates(entry.value_of("templates") or (), sequence, place)
    return Polymer(kind, sequence, len(ids), ids, changes, alignments[0], alignments[1],
                   template_structures=structures, keep_rows=any(alignments))


def _read_ligand(entry: LigandEntry, ids: tuple[str, ...], place: EntityPlace) -> Ligand:
    if bool(entry.ccd_codes) == bool(entry.smiles):
        raise InputError("a ligand has either ccdCodes or smiles", where=place.where,
                         fix="give exactly one of them")
    if entry.smiles:
        return Ligand(smiles=texts.check_smiles(entry.smiles, place.where), count=len(ids), ids=ids)
    for number, code in enumerate(entry.ccd_codes, 1):
        texts.refuse_prefix(code, f"ccdCodes {number}", place.where)
        texts.check_code(code, place.where, "ATP")
    return Ligand(codes=tuple(entry.ccd_codes), count=len(ids), ids=ids)


def _read_bonds(
    pairs: Sequence[Sequence[tuple[str, int, str]]], entities: tuple[Entity, ...], where: str
) -> tuple[CovalentBond, ...]:
    """Read bonds between two ends, each a chain's name, a position and an atom's name."""
    chains = {name: (number, copy) for number, entity in enumerate(entities, 1)
              for copy, name in enumerate(entity.ids, 1)}
    bonds = []
    for index, pair in enumerate(pairs, 1):
        place, ends = f"{where}, bonded atom pair {index}", []
        for chain, position, atom in pair:
            if chain not in chains:
                raise InputError(f"no chain {chain[:40]!r}", where=place,
                                 fix=f"chains are {', '.join(list(chains)[:20])}")
            number, copy = chains[chain]
            entity = entities[number - 1]
            if isinstance(entity, Ligand) and entity.smiles is not None:
                raise InputError(
                    f"chain {chain!r} is a SMILES, whose atoms have no names", where=place,
                    fix="give its CCD code, or write a Protenix JSON, where they are numbered")
            check_range(position, 1, length_of(entity), "the position", place)
            ends.append(AtomAddress(number, position, atom, copy))
        bonds.append((place, ends[0], ends[1]))
    return make_bonds(bonds, entities)
