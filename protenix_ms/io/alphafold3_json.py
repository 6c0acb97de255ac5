# SPDX-License-Identifier: Apache-2.0
"""AlphaFold 3's own job JSON (``"dialect": "alphafold3"``, versions 1 to 4).

Chains are named, bonds address chains by name, and a file is one job. Entries of equal content are
copies of one entity, rows of alignments stay as written, letters that it does not know are unknown
residues, and any other key is refused. User-defined components and explicit templates have no
counterpart here and are refused rather than dropped.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from protenix_ms.io.a3m import check_alignment
from protenix_ms.io.equal_entities import merge_equal_entities
from protenix_ms.io.job_json import (
    check_code,
    check_smiles,
    read_alignment,
    read_modifications,
    read_seeds,
)
from protenix_ms.io.job_links import length_of, make_bond, refuse_repeated
from protenix_ms.io.json_field import Field
from protenix_ms.io.sequence import (
    check_chain_name,
    check_entities,
    check_sequence,
    folder_name,
    read_unknown_letters,
)
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

_KINDS = ("protein", "rna", "dna", "ligand")
_KEYS = (
    *("name", "modelSeeds", "sequences", "bondedAtomPairs", "userCCD", "userCCDPath"),
    *("dialect", "version"),
)
_CHAIN_KEYS = ("id", "sequence", "modifications", "description")
_POLYMER_KEYS = {
    "protein": (
        *_CHAIN_KEYS,
        *("unpairedMsa", "unpairedMsaPath", "pairedMsa", "pairedMsaPath", "templates"),
    ),
    "rna": (*_CHAIN_KEYS, "unpairedMsa", "unpairedMsaPath"),
    "dna": _CHAIN_KEYS,
}
_MEANT = MappingProxyType({
    "count": "AlphaFold 3 writes one id per copy, like ['A', 'B']",
    **dict.fromkeys(
        ("unpairedMsa", "unpairedMsaPath", "pairedMsa", "pairedMsaPath"),
        "remove it: AlphaFold 3 takes no such alignment for this kind of chain",
    ),
})


def read_alphafold3_job(field: Field, folder: Path, source: str) -> Job:
    """The job of an AlphaFold 3 document.

    Raises:
        InputError: anything AlphaFold 3 would refuse, user CCD, explicit templates.
    """
    field.only(*_KEYS)
    name, note = folder_name(field.require("name").text(), field.where)
    field = replace(field, where=f"{field.where} {name!r}")
    if note:
        field.note(note)
    if any(field.get(key).given for key in ("userCCD", "userCCDPath")):
        raise field.fail(
            "userCCD is not supported",
            "give the component as SMILES, or as a ligand FILE_ in a Protenix JSON",
        )
    if field.get("version").value is not None:
        field.get("version").integer(1, 4)
    entities, places = [], []
    for number, item in enumerate(field.require("sequences").items(), 1):
        item = item.at(f"entity {number}").choose(*_KINDS)
        entities.append(_read_entity(item, folder))
        places.append(item.where)
    if not entities:
        raise field.fail("sequences is empty", "add at least one entity")
    check_entities(tuple(entities), places, field.where)
    job = Job(
        name=name,
        entities=tuple(entities),
        bonds=_read_bonds(field, tuple(entities)),
        seeds=read_seeds(field),
        source=source,
        notes=tuple(field.notes),
    )
    return merge_equal_entities(job)


def looks_like_alphafold3(field: Field) -> bool:
    """Tell whether a job without a dialect has entities that only AlphaFold 3 has."""
    listed = field.value.get("sequences")
    entries = [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []
    ligands = [e["ligand"] for e in entries if isinstance(e.get("ligand"), dict)]
    return any(kind in entry for entry in entries for kind in ("protein", "rna", "dna")) or any(
        key in ligand for ligand in ligands for key in ("ccdCodes", "smiles"))


def _read_entity(field: Field, folder: Path) -> Entity:
    field.expect(dict)
    ids = _chain_names(field)
    if field.name == "ligand":
        return _read_ligand(field, ids)
    kind: PolymerKind = field.name
    field.only(*_POLYMER_KEYS[kind], meant=_MEANT)
    sequence = field.require("sequence").text()
    keys = ("ptmType", "ptmPosition") if kind == "protein" else ("modificationType", "basePosition")
    changes = read_modifications(field, *keys, length=len(sequence), prefix="")
    sequence = read_sequence(field, sequence, kind, changes)
    templates = field.get("templates")
    if templates.value is not None and list(templates.items()):
        raise field.fail("explicit templates are not supported", 'write "templates": []')
    paired, unpaired = (_read_alignment(field, key, folder) for key in ("pairedMsa", "unpairedMsa"))
    paired, unpaired = (
        check_alignment(alignment, sequence, kind, field.where) if alignment else None
        for alignment in (paired, unpaired)
    )
    kept = paired is not None or unpaired is not None
    return Polymer(kind, sequence, len(ids), ids, changes, paired, unpaired, keep_rows=kept)


def read_sequence(
    field: Field, text: str, kind: PolymerKind, changes: tuple[Modification, ...]
) -> str:
    """Read a sequence as AlphaFold 3 does, and note the letters that become unknown."""
    sequence, note = read_unknown_letters(text, kind, {change.position for change in changes})
    if note:
        field.note(note)
    return check_sequence(sequence, kind, field.where)


def _read_alignment(field: Field, key: str, folder: Path) -> Alignment | None:
    """Read an alignment; an empty text beside a path counts as absent, as in AlphaFold 3."""
    if not field.get(f"{key}Path").given:
        return read_alignment(field, key, folder)
    if field.get(key).given:
        raise field.fail(f"{key} and {key}Path stand together", "keep one of them")
    alone = {k: v for k, v in field.value.items() if k != key}
    return read_alignment(replace(field, value=alone), key, folder)


def _chain_names(field: Field) -> tuple[str, ...]:
    names = field.require("id")
    listed = [names] if isinstance(names.value, str) else list(names.items())
    if not listed:
        raise field.fail("id is empty", 'name the chain, like "A"')
    return tuple(check_chain_name(name.text(), field.where) for name in listed)


def _read_ligand(field: Field, ids: tuple[str, ...]) -> Ligand:
    field.only("id", "ccdCodes", "smiles", "description", meant=_MEANT)
    codes, smiles = field.get("ccdCodes"), field.get("smiles")
    if codes.given == smiles.given:
        raise field.fail("a ligand has either ccdCodes or smiles", "give exactly one of them")
    if smiles.given:
        return Ligand(smiles=check_smiles(smiles.text(), field), count=len(ids), ids=ids)
    listed = [codes] if isinstance(codes.value, str) else list(codes.items())
    return Ligand(codes=tuple(map(_read_code, listed)), count=len(ids), ids=ids)


def _read_code(field: Field) -> str:
    code = field.text()
    if code.startswith("CCD_"):
        raise field.fail(
            f"{field.name} is {code[:40]!r}", f"AlphaFold 3 writes {code[4:40]} without CCD_"
        )
    return check_code(code, field, "ATP")


def _read_bonds(job: Field, entities: tuple[Entity, ...]) -> tuple[CovalentBond, ...]:
    """``bondedAtomPairs``: [[chain, position, atom], [chain, position, atom]] each."""
    listed = job.get("bondedAtomPairs")
    if not listed.given:
        return ()
    chains = {
        name: (number, copy)
        for number, entity in enumerate(entities, 1)
        for copy, name in enumerate(entity.ids, 1)
    }
    bonds: list[CovalentBond] = []
    seen: dict[frozenset, int] = {}
    for number, item in enumerate(listed.items(), 1):
        item = item.at(f"bonded atom pair {number}")
        ends = [_end(end, chains, entities) for end in item.items()]
        if len(ends) != 2:
            raise item.fail(f"a bond with {len(ends)} ends", "give two")
        bonds.append(make_bond(item, ends[0], ends[1], entities))
        refuse_repeated(item, bonds, entities, seen)
    return tuple(bonds)


def _end(
    field: Field, chains: dict[str, tuple[int, int]], entities: tuple[Entity, ...]
) -> AtomAddress:
    parts = list(field.items())
    if len(parts) != 3:
        raise field.fail("an atom is not [chain, position, atom name]", 'write ["A", 5, "SG"]')
    chain = parts[0].text()
    if chain not in chains:
        raise field.fail(f"no chain {chain[:40]!r}", f"chains are {', '.join(list(chains)[:20])}")
    number, copy = chains[chain]
    entity = entities[number - 1]
    if isinstance(entity, Ligand) and entity.smiles is not None:
        raise field.fail(
            f"chain {chain!r} is a SMILES, whose atoms have no names",
            "give its CCD code, or write a Protenix JSON, where they are numbered",
        )
    position = parts[1].integer(1, length_of(entities[number - 1]))
    return AtomAddress(number, position, parts[2].text(), copy)
