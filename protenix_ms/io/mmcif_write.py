# SPDX-License-Identifier: Apache-2.0
"""Predicted structures as mmCIF, by gemmi: what viewers and structure libraries expect.

Polymers have sequences, components have bonds with orders, links between residues are
connections, sugars are branched entities, and the B factor holds the atom's pLDDT (0-100).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import gemmi
import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.io.atomic import write_text
from protenix_ms.io.mmcif_tables import (
    StructureInfo,
    Table,
    component_tables,
    connection_rows,
    entity_tables,
    is_polymer,
    is_standard,
)
from protenix_ms.typing import Array, Float

# pairs and loops in columns, a line "#" after each: ProDy loses the last atom without it
_STYLE = gemmi.cif.WriteOptions()
_STYLE.align_pairs, _STYLE.align_loops, _STYLE.misuse_hash = 33, 30, True


def mmcif_text(
    atoms: AtomTable,
    coordinates: Float[Array, "a 3"],
    plddt: Float[Array, "a"],
    info: StructureInfo,
) -> str:
    """Make the text of the file; the same bytes for the same arguments.

    Args:
        coordinates: angstrom, finite.
        plddt: 0-100, written as B factor.
    """
    document = gemmi.cif.Document()
    block = document.add_new_block(re.sub(r"[^A-Za-z0-9_.+-]", "_", info.name) or "structure")
    _add_head(block, info)
    for table in (
        *entity_tables(atoms, info),
        *component_tables(atoms, info),
        *_connection_tables(atoms, coordinates, info),
        *_quality_tables(atoms, plddt, info),
        _atom_table(atoms, coordinates, plddt, info),
    ):
        _add_loop(block, table)
    return str(document.as_string(_STYLE))


def write_mmcif(
    path: Path,
    atoms: AtomTable,
    coordinates: Float[Array, "a 3"],
    plddt: Float[Array, "a"],
    info: StructureInfo,
) -> None:
    """Write `mmcif_text` to `path`. Raises OutputError when it cannot."""
    write_text(path, mmcif_text(atoms, coordinates, plddt, info))


def _ascii(text: str) -> str:
    """Write a text in printable ASCII, all that CIF allows; other letters as &#233;.

    So is the word loop_, which Biopython takes for a loop even in quotes.
    """
    loop = text.lower() == "loop_"
    if text.isascii() and text.isprintable() and not loop:
        return text
    return "".join(f"&#{ord(c)};" if loop or not " " <= c <= "~" else c for c in text)


def _quoted(value: object) -> str:
    """Quote a value of CIF; None is "?", and "." and "?" stay what they mean."""
    if value is None:
        return "?"
    text = _ascii(str(value))
    return text if text in (".", "?") else gemmi.cif.quote(text)


def _add_loop(block: gemmi.cif.Block, table: Table) -> None:
    """Add a loop; nothing for no rows."""
    category, items, rows = table
    columns = list(zip(*rows))
    if columns:
        loop = block.init_loop(f"_{category}.", items.split())
        loop.set_all_values([[_quoted(value) for value in column] for column in columns])


def _add_head(block: gemmi.cif.Block, info: StructureInfo) -> None:
    for category, values in (
        ("entry", {"id": info.name}),
        ("struct", {"entry_id": info.name, "title": info.title}),
        ("exptl", {"entry_id": info.name, "method": "THEORETICAL MODEL"}),
        ("software", {"pdbx_ordinal": "1", "name": "Protenix-MS", "version": info.version,
                      "classification": "prediction"}),
    ):
        block.set_pairs(f"_{category}.", {item: _ascii(text) for item, text in values.items()})


def _sequence_ids(atoms: AtomTable, info: StructureInfo) -> list[object]:
    """List `label_seq_id`: residue numbers of polymers, "." for the rest."""
    return list(np.where(is_polymer(atoms, info), atoms.res_id.astype(str), ".").tolist())


def _connection_tables(
    atoms: AtomTable, coordinates: Float[Array, "a 3"], info: StructureInfo
) -> Iterator[Table]:
    """Make the tables of bonds between residues and of their kinds."""
    ends = "label_asym_id label_comp_id label_seq_id label_atom_id auth_asym_id auth_comp_id " \
           "auth_seq_id"
    items = [f"ptnr{side}_{item}" for side in (1, 2) for item in ends.split()]
    seq = _sequence_ids(atoms, info)
    rows = []
    for kind, number, first, second, order in connection_rows(atoms, is_standard(atoms, info)):
        names = []
        for i in (first, second):
            chain, residue = atoms.chain_id[i], atoms.res_name[i]
            names += [chain, residue, seq[i], atoms.atom_name[i], chain, residue, atoms.res_id[i]]
        length = np.linalg.norm(coordinates[first] - coordinates[second])
        rows.append((f"{kind}{number}", kind, *names, order, f"{length:.3f}"))
    yield ("struct_conn", f"id conn_type_id {' '.join(items)} pdbx_value_order pdbx_dist_value",
           rows)
    yield "struct_conn_type", "id", [(kind,) for kind in sorted({row[1] for row in rows})]


def _quality_tables(
    atoms: AtomTable, plddt: Float[Array, "a"], info: StructureInfo
) -> Iterator[Table]:
    """Make the tables of mean pLDDT of model and residues, by which Mol* colours."""
    starts = atoms.residue_starts()
    sizes = np.diff(starts, append=len(atoms))
    first, means = atoms[starts], np.add.reduceat(plddt, starts) / sizes
    residues = zip(first.chain_id, first.res_name, _sequence_ids(first, info), means)
    yield ("ma_qa_metric", "id mode name software_group_id type",
           [(1, "global", "pLDDT", 1, "pLDDT"), (2, "local", "pLDDT", 1, "pLDDT")])
    yield "ma_data", "id name content_type", [(1, "Model", "model coordinates")]
    yield "ma_model_list", "ordinal_id data_id model_type", [(1, 1, "Ab initio model")]
    yield "ma_protocol_step", "ordinal_id protocol_id step_id method_type", [(1, 1, 1, "modeling")]
    yield "ma_software_group", "ordinal_id group_id software_id", [(1, 1, 1)]
    yield ("ma_qa_metric_global", "metric_id metric_value model_id ordinal_id",
           [(1, f"{plddt.mean():.2f}", 1, 1)])
    yield ("ma_qa_metric_local", "label_asym_id label_comp_id label_seq_id metric_id metric_value "
           "model_id ordinal_id",
           [(chain, name, seq, 2, f"{mean:.2f}", 1, number)
            for number, (chain, name, seq, mean) in enumerate(residues, 1)])


def _atom_table(
    atoms: AtomTable,
    coordinates: Float[Array, "a 3"],
    plddt: Float[Array, "a"],
    info: StructureInfo,
) -> Table:
    x, y, z = ([f"{value:.4f}" for value in column] for column in coordinates.T.tolist())
    columns = {
        "group_PDB": np.where(is_standard(atoms, info), "ATOM", "HETATM"),
        "id": range(1, len(atoms) + 1),
        "type_symbol": atoms.element,
        "label_atom_id": atoms.atom_name,
        "label_alt_id": ["."] * len(atoms),
        "label_comp_id": atoms.res_name,
        "label_asym_id": atoms.chain_id,
        "label_entity_id": atoms.entity_id,
        "label_seq_id": _sequence_ids(atoms, info),
        "pdbx_PDB_ins_code": ["?"] * len(atoms),
        "Cartn_x": x, "Cartn_y": y, "Cartn_z": z,
        "occupancy": ["1.00"] * len(atoms),
        "B_iso_or_equiv": [f"{value:.2f}" for value in plddt.tolist()],
        "pdbx_formal_charge": [charge or "?" for charge in atoms.charge.tolist()],
        "auth_seq_id": atoms.res_id,
        "auth_comp_id": atoms.res_name,
        "auth_asym_id": atoms.chain_id,
        "auth_atom_id": atoms.atom_name,
        "pdbx_PDB_model_num": ["1"] * len(atoms),
    }
    return "atom_site", " ".join(columns), zip(*columns.values())
