# SPDX-License-Identifier: Apache-2.0
"""Protenix's job JSON: a list of jobs, each a name and a list of entities.

Follows upstream's `protenix/data/inference/{json_parser,json_to_feature}.py` and the alignment
fields of `data/msa/msa_featurizer.py`, old spellings included.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from protenix_ms.io.a3m import check_alignment, read_alignment_file
from protenix_ms.io.job_links import read_bonds, read_constraints
from protenix_ms.io.json_field import Field
from protenix_ms.io.sequence import (
    MAX_CHAINS,
    check_chain_name,
    check_entities,
    check_job_name,
    check_sequence,
)
from protenix_ms.io.text_file import find_file
from protenix_ms.job import (
    MAX_SEED,
    Alignment,
    Entity,
    Job,
    Ligand,
    Modification,
    Polymer,
    PolymerKind,
)

_KINDS: dict[str, PolymerKind] = {
    "proteinChain": "protein",
    "dnaSequence": "dna",
    "rnaSequence": "rna",
}
_ENTITY_KEYS = (*_KINDS, "ligand", "ion")
_LIGAND_FILES = (".sdf", ".mol", ".mol2", ".pdb")
_NO_SMILES_ENDS = (*_LIGAND_FILES, ".cif", ".xyz", ".pdbqt", ".smi")
_WRITTEN_UNUSED = ("label_entity_id", "label_asym_id")  # by upstream's `protenix json`
_POLYMER_KEYS = ("sequence", "count", "id", "modifications", *_WRITTEN_UNUSED)
_MSA_KEYS = {
    "protein": (
        *("pairedMsaPath", "unpairedMsaPath", "pairedMsa", "unpairedMsa"),
        *("templatesPath", "msa", "glycans"),
    ),
    "rna": ("unpairedMsaPath", "unpairedMsa"),
    "dna": (),
}
_JOB_KEYS = ("name", "sequences", "modelSeeds", "covalent_bonds", "constraint", "assembly_id")
_MEANT = MappingProxyType({
    **dict.fromkeys(("seed", "seeds"), "write 'modelSeeds' if that is meant"),
    **{key: f'write "constraint": {{"{key}": ...}}' for key in ("contact", "pocket")},
    **dict.fromkeys(("bonds", "bondedAtomPairs"), "write 'covalent_bonds'"),
    **dict.fromkeys(("userCCD", "userCCDPath"), "give the component as SMILES or as FILE_"),
    "version": 'it belongs to "dialect": write "alphafold3" or "alphafoldserver" there',
})


def read_job(field: Field, folder: Path, source: str) -> Job:
    """One job of a Protenix JSON; paths are looked up in `folder`, then in the working directory.

    Raises:
        InputError: anything that is not as upstream's format says.
    """
    field.only(*_JOB_KEYS, meant=_MEANT)
    name = check_job_name(field.require("name").text(), field.where)
    field = replace(field, where=f"{field.where} {name!r}")
    field.note_unused("assembly_id")
    listed = list(field.require("sequences").items())
    if not listed:
        raise field.fail("sequences is empty", "add at least one entity")
    items = [item.at(f"entity {n}").choose(*_ENTITY_KEYS) for n, item in enumerate(listed, 1)]
    entities = tuple(_read_entity(item, folder) for item in items)
    check_entities(entities, [item.where for item in items], field.where)
    contacts, pocket = read_constraints(field, entities)
    bonds = read_bonds(field, entities)
    return Job(
        name=name,
        entities=entities,
        bonds=bonds,
        contacts=contacts,
        pocket=pocket,
        seeds=read_seeds(field),
        source=source,
        notes=tuple(dict.fromkeys(field.notes)),
    )


def read_seeds(field: Field) -> tuple[int, ...]:
    """``modelSeeds`` of a job, empty when absent."""
    seeds = field.get("modelSeeds")
    if not seeds.given:
        return ()
    return tuple(seed.integer(0, MAX_SEED) for seed in seeds.items())


def _read_entity(field: Field, folder: Path) -> Entity:
    key = field.name
    field.expect(dict)
    field.note_unused(*_WRITTEN_UNUSED)
    count = field.get("count")
    count = 1 if count.value is None else count.integer(1, MAX_CHAINS)
    ids = read_chain_names(field)
    if key in _KINDS:
        return _read_polymer(_KINDS[key], field, folder, count, ids)
    field.only(key, "count", "id", *_WRITTEN_UNUSED)
    text = field.require(key).text()
    if key == "ion":
        code = check_code(text.removeprefix("CCD_"), field)
        return Ligand(codes=(code,), count=count, ids=ids, is_ion=True)
    if text.startswith("CCD_"):
        codes = tuple(check_code(code, field) for code in text[4:].split("_"))
        return Ligand(codes=codes, count=count, ids=ids)
    if text.startswith("FILE_"):
        path = find_file(text[5:], folder, field.where)
        if path.suffix.lower() not in _LIGAND_FILES:
            raise field.fail(
                f"a ligand file {path.suffix!r} is not read", f"use {', '.join(_LIGAND_FILES)}"
            )
        return Ligand(file=path, count=count, ids=ids)
    return Ligand(smiles=check_smiles(text, field), count=count, ids=ids)


def check_smiles(text: str, field: Field) -> str:
    """Return a SMILES without what no SMILES has; chemistry is checked later.

    Raises:
        InputError: white space, a character that is not printable ASCII, the name of a file.
    """
    name = text.strip().lower()
    if name.endswith(_NO_SMILES_ENDS) or name.startswith(("./", "../")):
        raise field.fail(
            f"{text.strip()[:60]!a} is the name of a file, not SMILES",
            f"in a Protenix JSON a path is written FILE_{ascii(text.strip()[:60])[1:-1]}",
        )
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


def check_code(text: str, field: Field, example: str = "CCD_ATP") -> str:
    """Return a CCD code if it is letters and digits only; `example` shows the dialect's form."""
    if not text or not text.isascii() or not text.isalnum():
        raise field.fail(f"{text[:40]!r} is not a CCD code", f"write for example {example}")
    return text


def _read_polymer(
    kind: PolymerKind, field: Field, folder: Path, count: int, ids: tuple[str, ...]
) -> Polymer:
    if kind == "dna" and field.get(*_MSA_KEYS["protein"]).value is not None:
        raise field.fail("a DNA chain cannot have an alignment", "remove the MSA fields")
    field.only(*_POLYMER_KEYS, *_MSA_KEYS[kind])
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
    if kind == "protein" and field.get("msa").given:
        old = _old_alignments(field, folder) if silent else None
        if old is None:
            field.note("msa is not read: pairedMsa or unpairedMsa stands beside it")
        else:
            paired, unpaired = old
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
        text = item.require(type_key).text()
        item.only(type_key, position_key)
        if not text.startswith(prefix):
            raise item.fail(f"{type_key} is {text[:40]!r}", f"write '{prefix}' and a CCD code")
        if not prefix and text.startswith("CCD_"):
            raise item.fail(
                f"{type_key} is {text[:40]!r}", f"AlphaFold 3 writes {text[4:40]} without CCD_"
            )
        position = item.require(position_key).integer(1, length)
        if position in found:
            raise item.fail(f"position {position} is modified twice", "keep one")
        code = check_code(text[len(prefix) :], item, f"{prefix}SEP")
        found[position] = Modification(code, position)
    return tuple(found.values())


def read_alignment(field: Field, key: str, folder: Path) -> Alignment | None:
    """Read ``key`` (inline text) or ``keyPath`` (a file); an empty text means none.

    Of both the text is read, which is upstream's rule, and a note says so.
    """
    inline, path = field.get(key), field.get(f"{key}Path")
    if inline.value is not None:
        inline.expect(str)
        if path.given:
            field.note(f"{key}Path is not read: {key} stands beside it")
        return Alignment(inline.value, f"inline {key}") if inline.value.strip() else None
    if not path.given:
        return None
    found = find_file(path.text(), folder, f"{field.where}, {key}Path")
    return read_alignment_file(found, f"{field.where}, {key}Path")


def _old_alignments(field: Field, folder: Path) -> tuple[Alignment | None, Alignment | None]:
    """The folder form: ``msa: {precomputed_msa_dir}`` with pairing.a3m and non_pairing.a3m."""
    msa = field.get("msa").at("msa")
    msa.only("precomputed_msa_dir", "pairing_db")
    msa.note_unused("pairing_db")
    directory = msa.get("precomputed_msa_dir")
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
