# SPDX-License-Identifier: Apache-2.0
"""Read a PDB file as a deposit, and choose between it and mmCIF by a file's name.

A PDB file has no entities: residues and bonds are all that is read, and `polymers.with_polymers`
finds the chains in them. SEQRES is not read, as upstream does not: a gap has unknown residues.
"""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from protenix_ms.data.assembly import AssemblyPart
from protenix_ms.data.mmcif import (
    UNKNOWN_DATE,
    UNKNOWN_RESOLUTION,
    Columns,
    Deposit,
    read_mmcif,
    require_file,
)
from protenix_ms.errors import InputError
from protenix_ms.io.text_file import plain_name, plain_suffix, read_text

MMCIF_SUFFIXES, PDB_SUFFIXES = (".cif", ".mmcif"), (".pdb", ".ent")
STRUCTURE_SUFFIXES = (*MMCIF_SUFFIXES, *PDB_SUFFIXES)
_SITE = (
    "group_PDB", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id", "label_asym_id",
    "auth_asym_id", "auth_seq_id", "pdbx_PDB_ins_code", "Cartn_x", "Cartn_y", "Cartn_z",
)  # fmt: skip
_END = (
    "ptnr{}_auth_asym_id", "ptnr{}_auth_seq_id", "pdbx_ptnr{}_PDB_ins_code",
    "ptnr{}_auth_comp_id", "ptnr{}_label_atom_id", "pdbx_ptnr{}_label_alt_id",
)  # fmt: skip
_KINDS = {gemmi.ConnectionType.Covale: "covale", gemmi.ConnectionType.Disulf: "disulf",
          gemmi.ConnectionType.MetalC: "metalc"}


def read_structure(path: Path, *, assembly: str | None = None) -> Deposit:
    """Read a (gzipped) mmCIF or PDB file, told by its suffix.

    Args:
        assembly: the assembly to read; None reads none.

    Raises:
        InputError: another suffix, an unreadable file, one without atoms, an unknown assembly.
    """
    require_file(path)
    if plain_suffix(path) in PDB_SUFFIXES:
        return _read_pdb(path, assembly)
    if plain_suffix(path) in MMCIF_SUFFIXES:
        return read_mmcif(path, assembly=assembly)
    raise InputError(f"a structure file {plain_suffix(path)!r} is not read", where=str(path),
                     fix=f"give {', '.join(STRUCTURE_SUFFIXES)}, gzipped or not")


def _read_pdb(path: Path, assembly: str | None) -> Deposit:
    text = read_text(path)
    try:
        structure = gemmi.read_pdb_string(text)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"this is not a readable PDB file ({reason})", where=str(path),
                         fix="check the file") from None
    if not len(structure) or not structure[0].count_atom_sites():
        raise InputError("the file has no atoms", where=str(path), fix="give a structure file")
    return Deposit(
        name=plain_name(path).stem, release_date=UNKNOWN_DATE,
        resolution=UNKNOWN_RESOLUTION, methods=frozenset(), polymers={}, sequences={},
        assembly=_assembly(structure, assembly, path), polymer_count=None,
        sites=_sites(structure[0]), links=_links(structure))


def _sites(model: gemmi.Model) -> Columns:
    """Make the columns of `_atom_site` that a PDB file has."""
    rows = [("HETATM" if place.residue.het_flag == "H" else "ATOM", place.atom.element.name,
             place.atom.name, _letter(place.atom.altloc), place.residue.name,
             *_residue(place.chain.name, place.residue.seqid),
             *(repr(value) for value in place.atom.pos.tolist())) for place in model.all()]
    table = [(*row[:5], row[5], *row[5:]) for row in rows]  # the chain is label and author's
    return {name: np.array(column) for name, column in zip(_SITE, zip(*table))}


def _letter(text: str) -> str:
    return text.strip("\0 ") or "."


def _residue(chain: str, number: gemmi.SeqId) -> tuple[str, str, str]:
    return chain.strip() or "A", str(number.num), _letter(number.icode)


def _links(structure: gemmi.Structure) -> Columns:
    """Make the columns of `_struct_conn` of LINK, SSBOND and CONECT between residues."""
    rows: dict[tuple[tuple[str, ...], ...], str] = {}
    for link in structure.connections:
        if link.asu != gemmi.Asu.Different:
            ends = [(*_residue(end.chain_name, end.res_id.seqid), end.res_id.name, end.atom_name,
                     _letter(end.altloc)) for end in (link.partner1, link.partner2)]
            rows[ends[0], ends[1]] = _KINDS.get(link.type, "covale")
    places = {place.atom.serial: place for place in structure[0].all()}
    for serial, partners in sorted(structure.conect_map.items()):
        for partner in (p for p in partners if serial < p and {serial, p} <= places.keys()):
            both = [places[serial], places[partner]]
            first, second = ((*_residue(place.chain.name, place.residue.seqid),
                              place.residue.name, place.atom.name, _letter(place.atom.altloc))
                             for place in both)
            metal = any(place.atom.element.is_metal for place in both)
            if first[:3] != second[:3] and not {(first, second), (second, first)} & rows.keys():
                rows[first, second] = "metalc" if metal else "covale"
    columns = {"conn_type_id": list(rows.values())}
    for side in (1, 2):
        parts = zip(*(pair[side - 1] for pair in rows))
        columns |= {name.format(side): column for name, column in zip(_END, map(list, parts))}
    return {name: np.array(column) for name, column in columns.items()} if rows else {}


def _assembly(
    structure: gemmi.Structure, wanted: str | None, path: Path
) -> tuple[AssemblyPart, ...] | None:
    """Read an assembly of REMARK 350; None where the file defines none."""
    if wanted is None or not structure.assemblies:
        return None
    known = {assembly.name: assembly for assembly in structure.assemblies}
    if wanted not in known:
        raise InputError(f"there is no assembly {wanted[:20]}", where=str(path),
                         fix=f"the file defines {', '.join(known)[:200]}")
    return tuple(
        AssemblyPart(tuple(part.chains), np.array([
            np.column_stack([step.transform.mat.tolist(), step.transform.vec.tolist()])
            for step in part.operators]))
        for part in known[wanted].generators)
