# SPDX-License-Identifier: Apache-2.0
"""Protenix's job JSON: a list of jobs, each a name and a list of entities.

Follows upstream's `protenix/data/inference/{json_parser,json_to_feature}.py` and the alignment
fields of `data/msa/msa_featurizer.py`, old spellings included.
"""

from __future__ import annotations

from pathlib import Path

from protenix_ms.io.a3m import check_alignment, read_alignment_file
from protenix_ms.io.job_links import read_bonds, read_constraints
from protenix_ms.io.json_field import Field
from protenix_ms.io.sequence import (
    MAX_CHAINS,
    MAX_SEED,
    check_chain_name,
    check_entities,
    check_job_name,
    check_sequence,
)
from protenix_ms.io.text_file import find_file
from protenix_ms.job import Alignment, Entity, Job, Ligand, Modification, Polymer, PolymerKind

_KINDS: dict[str, PolymerKind] = {
    "proteinChain": "protein",
    "dnaSequence": "dna",
    "rnaSequence": "rna",
}
_ENTITY_KEYS = (*_KINDS, "ligand", "ion")
_LIGAND_FILES = (".sdf", ".mol", ".mol2", ".pdb")
_POLYMER_KEYS = ("sequence", "count", "id", "modifications")
_MSA_KEYS = {
    "protein": (
        *("pairedMsaPath", "unpairedMsaPath", "pairedMsa", "unpairedMsa"),
        *("templatesPath", "msa", "glycans"),
    ),
    "rna": ("unpairedMsaPath", "unpairedMsa"),
    "dna": (),
}


def read_job(field: Field, folder: Path, source: str) -> Job:
    """One job of a Protenix JSON; paths are looked up in `folder`, then in the working directory.

    Raises:
        InputError: anything that is not as upstream's format says.
    """
    known = ("name", "sequences", "modelSeeds", "covalent_bonds", "constraint", "assembly_id")
    field.only(*known)
    name = check_job_name(field.require("name").text(), field.where)
    field = Field(field.value, f"{field.where} {name!r}", field.name)
    listed = list(field.require("sequences").items())
    if not listed:
        raise field.fail("sequences is empty", "add at least one entity")
    located = [_entity_at(item, number) for number, item in enumerate(listed, 1)]
    entities = tuple(_read_entity(key, item, folder) for key, item in located)
    check_entities(entities, [item.where for _, item in located], field.where)
    contacts, pocket = read_constraints(field, entities)
    return Job(
        name=name,
        entities=entities,
        bonds=read_bonds(field, entities),
        contacts=contacts,
        pocket=pocket,
        seeds=read_seeds(field),
        source=source,
    )


def read_seeds(field: Field) -> tuple[int, ...]:
    """``modelSeeds`` of a job, empty when absent."""
    seeds = field.get("modelSeeds")
    if not seeds.given:
        return ()
    return tuple(seed.integer(0, MAX_SEED) for seed in seeds.items())


def _entity_at(item: Field, number: int) -> tuple[str, Field]:
    item = item.at(f"entity {number}")
    item.only(*_ENTITY_KEYS)
    present = [key for key in _ENTITY_KEYS if key in item]
    if len(present) != 1 or len(item.value) != 1:
        raise item.fail(
            f"an entity has exactly one of {', '.join(_ENTITY_KEYS)}, "
            f"this one has {', '.join(str(key)[:40] for key in item.value) or 'nothing'}",
            "write one object per entity",
        )
    inner = item.require(present[0])
    return present[0], Field(inner.value, f"{item.where} ({present[0]})", inner.name)


def _read_entity(key: str, field: Field, folder: Path) -> Entity:
    count = field.get("count")
    count = 1 if count.value is None else count.integer(1, MAX_CHAINS)
    ids = read_chain_names(field)
    if key in _KINDS:
        return _read_polymer(_KINDS[key], field, folder, count, ids)
    field.only(key, "count", "id")
    text = field.require(key).text()
    if key == "ion":
        if text.startswith("CCD_"):
            raise field.fail(f"ion is {text[:40]!r}", f"write {text[4:40]!r}, without CCD_")
        return Ligand(codes=(_code(text, field),), count=count, ids=ids, is_ion=True)
    if text.startswith("CCD_"):
        codes = tuple(_code(code, field) for code in text[4:].split("_"))
        return Ligand(codes=codes, count=count, ids=ids)
    if text.startswith("FILE_"):
        path = find_file(text[5:], folder, field.where)
        if path.suffix not in _LIGAND_FILES:
            raise field.fail(
                f"a ligand file {path.suffix!r} is not read", f"use {', '.join(_LIGAND_FILES)}"
            )
        return Ligand(file=path, count=count, ids=ids)
    return Ligand(smiles=check_smiles(text, field), count=count, ids=ids)


def check_smiles(text: str, field: Field) -> str:
    """SMILES without white space or characters that no SMILES has; chemistry is checked later."""
    wrong = [c for c in text.strip() if not c.isascii() or not c.isprintable() or c == " "]
    if wrong:
        raise field.fail(f"SMILES with the character {wrong[0]!a}", "write one SMILES, no spaces")
    return text.strip()


def read_chain_names(field: Field) -> tuple[str, ...]:
    """``id``: one chain name per copy, or nothing."""
    names = field.get("id")
    if not names.given:
        return ()
    return tuple(check_chain_name(name.text(), field.where) for name in names.items())


def _code(text: str, field: Field) -> str:
    if not text or not text.isascii() or not text.isalnum():
        raise field.fail(f"{text[:40]!r} is not a CCD code", "write for example CCD_ATP")
    return text


def _read_polymer(
    kind: PolymerKind, field: Field, folder: Path, count: int, ids: tuple[str, ...]
) -> Polymer:
    field.only(*_POLYMER_KEYS, *_MSA_KEYS[kind])
    if kind == "dna" and any(key in field for key in _MSA_KEYS["protein"]):
        raise field.fail("a DNA chain cannot have an alignment", "remove the MSA fields")
    sequence = check_sequence(field.require("sequence").text(), kind, field.where)
    names = (
        ("ptmType", "ptmPosition") if kind == "protein" else ("modificationType", "basePosition")
    )
    paired = unpaired = templates = None
    if kind == "protein":
        if field.get("glycans").given:
            raise field.fail("glycans are not supported", "write ligands and covalent_bonds")
        paired = read_alignment(field, "pairedMsa", folder)
        if field.get("templatesPath").given:
            templates = _templates(field, folder)
    if kind != "dna":
        unpaired = read_alignment(field, "unpairedMsa", folder)
    silent = field.get("pairedMsa", "unpairedMsa").value is None and not (paired or unpaired)
    if kind == "protein" and silent and field.get("msa").given:
        paired, unpaired = _old_alignments(field, folder)
    paired, unpaired = (
        check_alignment(alignment, sequence, kind, field.where) if alignment else None
        for alignment in (paired, unpaired)
    )
    return Polymer(
        kind=kind,
        sequence=sequence,
        count=count,
        ids=ids,
        modifications=read_modifications(field, *names, length=len(sequence), prefix="CCD_"),
        paired_msa=paired,
        unpaired_msa=unpaired,
        templates=templates,
    )


def read_modifications(
    field: Field, type_key: str, position_key: str, *, length: int, prefix: str
) -> tuple[Modification, ...]:
    """Modified residues; `prefix` is what the dialect writes before a CCD code."""
    listed = field.get("modifications")
    if not listed.given:
        return ()
    found: dict[int, Modification] = {}
    for item in listed.items():
        item = item.at(item.name)
        item.only(type_key, position_key)
        text = item.require(type_key).text()
        if not text.startswith(prefix):
            raise item.fail(f"{type_key} is {text[:40]!r}", f"write '{prefix}' and a CCD code")
        position = item.require(position_key).integer(1, length)
        if position in found:
            raise item.fail(f"position {position} is modified twice", "keep one")
        found[position] = Modification(_code(text[len(prefix) :], item), position)
    return tuple(found.values())


def read_alignment(field: Field, key: str, folder: Path) -> Alignment | None:
    """``key`` (inline text) or ``keyPath`` (a file); inline wins, an empty text means none."""
    inline = field.get(key)
    if inline.value is not None:
        inline.expect(str)
        return Alignment(inline.value, f"inline {key}") if inline.value.strip() else None
    path = field.get(f"{key}Path")
    if not path.given:
        return None
    found = find_file(path.text(), folder, f"{field.where}, {key}Path")
    return read_alignment_file(found, f"{field.where}, {key}Path")


def _old_alignments(field: Field, folder: Path) -> tuple[Alignment | None, Alignment | None]:
    """The folder form: ``msa: {precomputed_msa_dir}`` with pairing.a3m and non_pairing.a3m."""
    directory = field.get("msa").get("precomputed_msa_dir")
    if not directory.given:
        return None, None
    where = f"{field.where}, precomputed_msa_dir"
    found = find_file(directory.text(), folder, where, directory=True)
    files = [found / "pairing.a3m", found / "non_pairing.a3m"]
    if not any(file.is_file() for file in files):
        raise field.fail(f"{found} has no pairing.a3m or non_pairing.a3m", "correct the folder")
    return tuple(
        read_alignment_file(file, where) if file.is_file() else None for file in files
    )


def _templates(field: Field, folder: Path) -> Path:
    path = find_file(field.get("templatesPath").text(), folder, f"{field.where}, templatesPath")
    if path.suffix not in (".a3m", ".hhr"):
        raise field.fail(f"templatesPath ends in {path.suffix!r}", "give .a3m or .hhr")
    return path
