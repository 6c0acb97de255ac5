# SPDX-License-Identifier: Apache-2.0
"""AlphaFold Server's job JSON (``"dialect": "alphafoldserver"``, version 1).

It looks like a Protenix job, has fewer keys, and means what AlphaFold 3 means: codes stand with or
without ``CCD_``, unknown letters are unknown residues, entries of equal content are copies.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from protenix_ms.io.alphafold3_json import read_sequence
from protenix_ms.io.equal_entities import merge_equal_entities
from protenix_ms.io.job_json import read_job, read_modifications
from protenix_ms.io.json_field import Field
from protenix_ms.io.sequence import folder_name
from protenix_ms.job import Job, PolymerKind

_KINDS: dict[str, PolymerKind] = {
    "proteinChain": "protein",
    "rnaSequence": "rna",
    "dnaSequence": "dna",
}
_CHAIN_KEYS = ("sequence", "modifications", "count")
_KEYS = {
    "proteinChain": (*_CHAIN_KEYS, "glycans", "useStructureTemplate"),
    "rnaSequence": _CHAIN_KEYS,
    "dnaSequence": _CHAIN_KEYS,
    "ligand": ("ligand", "count"),
    "ion": ("ion", "count"),
}
_PROTENIX = ("covalent_bonds", "constraint", "id", "unpairedMsa", "unpairedMsaPath", "pairedMsa",
             "pairedMsaPath", "templatesPath", "msa")
_MEANT = MappingProxyType({
    "maxTemplateDate": "remove it: templates are not searched",
    **dict.fromkeys(_PROTENIX, "leave out dialect and version: only a Protenix JSON has it"),
})


def read_server_job(field: Field, folder: Path, source: str) -> Job:
    """Read one job of an AlphaFold Server file.

    Raises:
        InputError: another version, a key that the server's format does not have, glycans.
    """
    field.only("name", "modelSeeds", "sequences", "dialect", "version", meant=_MEANT)
    if field.get("version").value is not None:
        field.get("version").integer(1, 1)
    name, note = folder_name(field.require("name").text(), field.where)
    if note:
        field.note(note)
    listed = field.require("sequences").at(repr(name)).items()
    entities = [_as_protenix(item.at(f"entity {number}").choose(*_KEYS))
                for number, item in enumerate(listed, 1)]
    content = {**field.value, "name": name, "sequences": entities}
    content = {key: value for key, value in content.items() if key not in ("dialect", "version")}
    return merge_equal_entities(read_job(replace(field, value=content), folder, source))


def looks_like_server(field: Field) -> bool:
    """Tell whether a job without a dialect has the keys of the server's older files, no others."""
    return set(field.value) == {"name", "modelSeeds", "sequences"} and (
        field.value["modelSeeds"] == [])


def _as_protenix(field: Field) -> dict[str, dict[str, Any]]:
    """Write an entity as Protenix does."""
    key = field.name
    field.only(*_KEYS[key], meant=_MEANT)
    content = {k: v for k, v in field.value.items() if k != "useStructureTemplate"}
    if field.get("useStructureTemplate").value is not None:
        field.get("useStructureTemplate").expect(bool)
    if key in ("ligand", "ion"):
        content[key] = f"CCD_{field.require(key).text().removeprefix('CCD_')}"
        return {key: content}
    names = ("ptmType", "ptmPosition") if key == "proteinChain" else (
        "modificationType", "basePosition")
    if field.get("modifications").given:
        listed = [item.value for item in field.get("modifications").items()]
        content["modifications"] = [_with_prefix(item, names[0]) for item in listed]
    sequence = field.require("sequence").text()
    changes = read_modifications(
        replace(field, value=content), *names, length=len(sequence), prefix="CCD_")
    content["sequence"] = read_sequence(field, sequence, _KINDS[key], changes)
    return {key: content}


def _with_prefix(item: Any, key: str) -> Any:
    """Write a modification's code with ``CCD_``; what is no modification stays for the reader."""
    if not isinstance(item, dict) or not isinstance(item.get(key), str):
        return item
    return {**item, key: f"CCD_{item[key].removeprefix('CCD_')}"}
