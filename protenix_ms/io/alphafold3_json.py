# SPDX-License-Identifier: Apache-2.0
"""AlphaFold 3's own job JSON (``"dialect": "alphafold3"``, versions 1 to 4).

Chains are named, bonds address chains by name, and a file is one job. User-defined components and
explicit templates have no counterpart here and are refused rather than dropped.
"""

from __future__ import annotations

from pathlib import Path

from protenix_ms.io.a3m import check_alignment
from protenix_ms.io.job_json import (
    check_smiles,
    read_alignment,
    read_modifications,
    read_seeds,
)
from protenix_ms.io.job_links import length_of, make_bond
from protenix_ms.io.json_field import Field
from protenix_ms.io.sequence import (
    check_chain_name,
    check_entities,
    check_job_name,
    check_sequence,
)
from protenix_ms.job import AtomAddress, CovalentBond, Entity, Job, Ligand, Polymer

_KINDS = ("protein", "rna", "dna", "ligand")
_KEYS = (
    *("name", "modelSeeds", "sequences", "bondedAtomPairs", "userCCD", "userCCDPath"),
    *("dialect", "version"),
)
_POLYMER_KEYS = (
    *("id", "sequence", "modifications", "description", "templates"),
    *("unpairedMsa", "unpairedMsaPath", "pairedMsa", "pairedMsaPath"),
)


def read_alphafold3_job(field: Field, folder: Path, source: str) -> Job:
    """The job of an AlphaFold 3 document.

    Raises:
        InputError: anything AlphaFold 3 would refuse, user CCD, explicit templates.
    """
    field.only(*_KEYS)
    name = check_job_name(field.require("name").text(), field.where)
    field = Field(field.value, f"{field.where} {name!r}", field.name)
    if field.get("userCCD", "userCCDPath").given:
        raise field.fail(
            "userCCD is not supported",
            "give the component as SMILES, or as a ligand FILE_ in a Protenix JSON",
        )
    if field.get("version").value is not None:
        field.get("version").integer(1, 4)
    entities, places = [], []
    for number, item in enumerate(field.require("sequences").items(), 1):
        item = item.at(f"entity {number}")
        entities.append(_read_entity(item, folder))
        places.append(item.where)
    if not entities:
        raise field.fail("sequences is empty", "add at least one entity")
    check_entities(tuple(entities), places, field.where)
    return Job(
        name=name,
        entities=tuple(entities),
        bonds=_read_bonds(field, tuple(entities)),
        seeds=read_seeds(field),
        source=source,
    )


def _read_entity(item: Field, folder: Path) -> Entity:
    item.only(*_KINDS)
    if not isinstance(item.value, dict) or len(item.value) != 1 or not set(item.value) <= {*_KINDS}:
        raise item.fail(
            f"an entity has exactly one of {', '.join(_KINDS)}", "write one object per entity"
        )
    kind = next(iter(item.value))
    field = item.require(kind)
    field = Field(field.value, f"{item.where} ({kind})", kind)
    ids = _chain_names(field)
    if kind == "ligand":
        return _read_ligand(field, ids)
    field.only(*_POLYMER_KEYS)
    sequence = check_sequence(field.require("sequence").text(), kind, field.where)
    if field.get("templates").given:
        raise field.fail("explicit templates are not supported", 'write "templates": []')
    paired = read_alignment(field, "pairedMsa", folder) if kind == "protein" else None
    unpaired = read_alignment(field, "unpairedMsa", folder) if kind != "dna" else None
    paired, unpaired = (
        check_alignment(alignment, sequence, kind, field.where) if alignment else None
        for alignment in (paired, unpaired)
    )
    keys = ("ptmType", "ptmPosition") if kind == "protein" else ("modificationType", "basePosition")
    modifications = read_modifications(field, *keys, length=len(sequence), prefix="")
    return Polymer(kind, sequence, len(ids), ids, modifications, paired, unpaired)


def _chain_names(field: Field) -> tuple[str, ...]:
    names = field.require("id")
    listed = [names] if isinstance(names.value, str) else list(names.items())
    if not listed:
        raise field.fail("id is empty", 'name the chain, like "A"')
    return tuple(check_chain_name(name.text(), field.where) for name in listed)


def _read_ligand(field: Field, ids: tuple[str, ...]) -> Ligand:
    field.only("id", "ccdCodes", "smiles", "description")
    codes, smiles = field.get("ccdCodes"), field.get("smiles")
    if codes.given == smiles.given:
        raise field.fail("a ligand has either ccdCodes or smiles", "give exactly one of them")
    if smiles.given:
        return Ligand(smiles=check_smiles(smiles.text(), field), count=len(ids), ids=ids)
    listed = [codes] if isinstance(codes.value, str) else list(codes.items())
    return Ligand(codes=tuple(code.text() for code in listed), count=len(ids), ids=ids)


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
    bonds = []
    for number, item in enumerate(listed.items(), 1):
        item = item.at(f"bonded atom pair {number}")
        ends = [_end(end, chains, entities) for end in item.items()]
        if len(ends) != 2:
            raise item.fail(f"a bond with {len(ends)} ends", "give two")
        bonds.append(make_bond(item, ends[0], ends[1], entities))
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
    position = parts[1].integer(1, length_of(entities[number - 1]))
    return AtomAddress(number, position, parts[2].text(), copy)
