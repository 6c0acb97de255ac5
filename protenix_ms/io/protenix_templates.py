# SPDX-License-Identifier: Apache-2.0
"""Template structures of a job, as Protenix-MS and AlphaFold 3 write them."""

from __future__ import annotations

from collections.abc import Sequence

from protenix_ms.errors import InputError
from protenix_ms.io.json_model import CamelModel, EntityPlace, Text, Whole
from protenix_ms.io.template_structure import require_chain
from protenix_ms.io.text_file import find_file, read_text
from protenix_ms.job import TemplateStructure


class TemplateEntry(CamelModel):
    """A structure: mmCIF as text or file, its chain, and which residues lie on which (from 0)."""

    mmcif: Text | None = None
    mmcif_path: Text | None = None
    chain: Text | None = None
    query_indices: list[Whole] = []
    template_indices: list[Whole] = []


def read_templates(
    entries: Sequence[TemplateEntry], sequence: str, place: EntityPlace
) -> tuple[TemplateStructure, ...]:
    """Read the template structures of a chain.

    Raises:
        InputError: no mmCIF or two, an unreadable one, or see `require_chain`.
    """
    structures = []
    for number, entry in enumerate(entries, 1):
        name = f"template {number}"
        where = f"{place.where}, {name}"
        if (entry.mmcif is None) == (entry.mmcif_path is None):
            raise InputError("a template has either mmcif or mmcifPath", where=where,
                             fix="give exactly one of them")
        text = entry.mmcif or ""
        if entry.mmcif_path is not None:
            path = find_file(entry.mmcif_path, place.folder, f"{where}, mmcifPath")
            text, name, where = read_text(path, where), path.name, f"{where}, {path}"
        structure = TemplateStructure(text, where, name, entry.chain or "",
                                      tuple(entry.query_indices), tuple(entry.template_indices))
        require_chain(structure, len(sequence))
        structures.append(structure)
    return tuple(structures)
