# SPDX-License-Identifier: Apache-2.0
"""Jobs as Protenix JSON: of a job that came from another format, or moved to another folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from protenix_ms.errors import InputError
from protenix_ms.io.protenix_json import KINDS
from protenix_ms.io.text_file import find_file
from protenix_ms.job import Alignment, AtomAddress, Entity, Job, Ligand, Polymer

_KEYS = {kind: key for key, kind in KINDS.items()}
_FOLDERS = ("precomputed_msa_dir",)


def job_document(job: Job) -> dict[str, Any]:
    """Write a job as one of Protenix, without its alignments and templates.

    What the format cannot hold is left out; `same_job` tells after reading it back.
    """
    document: dict[str, Any] = {"name": job.name, "sequences": [_entity(e) for e in job.entities]}
    if job.seeds:
        document["modelSeeds"] = list(job.seeds)
    if job.bonds:
        document["covalent_bonds"] = [_ends(bond.first, bond.second) for bond in job.bonds]
    constraint: dict[str, Any] = {}
    if job.contacts:
        constraint["contact"] = [
            _ends(c.first, c.second) | {"max_distance": c.max_distance,
                                        "min_distance": c.min_distance} for c in job.contacts]
    if job.pocket:
        entity, copy = job.pocket.binder
        constraint["pocket"] = {
            "binder_chain": {"entity": entity, "copy": copy},
            "contact_residues": [{"entity": r.entity, "copy": r.copy, "position": r.position}
                                 for r in job.pocket.residues],
            "max_distance": job.pocket.max_distance}
    return document | ({"constraint": constraint} if constraint else {})


def _entity(entity: Entity) -> dict[str, Any]:
    content: dict[str, Any] = {"count": entity.count}
    for key, texts in (("id", entity.ids), ("description", entity.labels)):
        if any(texts):
            content[key] = list(texts)
    if isinstance(entity, Ligand):
        key = "ion" if entity.is_ion else "ligand"
        codes = "_".join(entity.codes)
        text = (entity.smiles or (f"FILE_{entity.file.absolute()}" if entity.file else
                                  codes if entity.is_ion else f"CCD_{codes}"))
        return {key: {key: text} | content}
    if entity.modifications:
        code, place, prefix = (("ptmType", "ptmPosition", "CCD_") if entity.kind == "protein" else
                               ("modificationType", "basePosition", "CCD_"))
        content["modifications"] = [{code: prefix + m.code, place: m.position}
                                    for m in entity.modifications]
    return {_KEYS[entity.kind]: {"sequence": entity.sequence} | content}


def _ends(*addresses: AtomAddress) -> dict[str, Any]:
    ends: dict[str, Any] = {}
    for number, address in enumerate(addresses, 1):
        values = {"entity": address.entity, "copy": address.copy, "position": address.position,
                  "atom": address.atom}
        ends |= {f"{key}{number}": value for key, value in values.items() if value is not None}
    return ends


def relocate(value: Any, folder: Path, where: str) -> Any:
    """Copy a document with absolute paths for those that start from `folder`.

    Paths stand under keys that end in ``Path``, in ``precomputed_msa_dir`` and behind ``FILE_``.
    A path that leads nowhere stays as it is.
    """
    if isinstance(value, list):
        return [relocate(item, folder, where) for item in value]
    if not isinstance(value, Mapping):
        return value
    copy = {}
    for key, item in value.items():
        if isinstance(item, str) and item and (key.endswith("Path") or key in _FOLDERS):
            item = _absolute(item, folder, where, key in _FOLDERS)
        elif isinstance(item, str) and key == "ligand" and item.startswith("FILE_"):
            item = f"FILE_{_absolute(item[5:], folder, where)}"
        copy[key] = relocate(item, folder, where)
    return copy


def _absolute(name: str, folder: Path, where: str, directory: bool = False) -> str:
    try:
        return str(find_file(name, folder, where, directory=directory))
    except InputError:
        return name


def same_job(first: Job, second: Job) -> bool:
    """Tell whether two jobs are equal but for where their files and texts come from."""
    return bool(_content(first) == _content(second))


def _content(value: Any) -> Any:
    """Turn a job's parts into what counts for equality."""
    if isinstance(value, Alignment):
        return value.text
    if isinstance(value, Path):
        return value.resolve()
    if isinstance(value, tuple):
        return [_content(item) for item in value]
    if not is_dataclass(value):
        return value
    parts = {field.name: _content(getattr(value, field.name))
             for field in fields(value) if field.compare}
    if isinstance(value, Job) and value.entity_numbers == (*range(1, len(value.entities) + 1),):
        parts["entity_numbers"] = []
    return parts


def has_alignment(entity: Entity) -> bool:
    """Tell whether a chain brings rows of relatives."""
    return isinstance(entity, Polymer) and bool(entity.paired_msa or entity.unpaired_msa)
