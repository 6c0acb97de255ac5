# SPDX-License-Identifier: Apache-2.0
"""Predicted structures as mmCIF, by gemmi: what viewers and structure libraries expect.

Polymers have sequences, ligands have bonds with orders, covalent links between residues are
connections, and the B factor holds the atom's pLDDT (0-100).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import gemmi
import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.constants.restypes import STANDARD_RESIDUES
from protenix_ms.io.atomic import write_text
from protenix_ms.io.mmcif_links import bond_rows, connection_rows
from protenix_ms.typing import Array, Float

POLYMER_TYPES = {
    "protein": "polypeptide(L)",
    "dna": "polydeoxyribonucleotide",
    "rna": "polyribonucleotide",
}
STANDARD_TYPES = {"protein": "L-peptide linking", "dna": "DNA linking", "rna": "RNA linking"}
Rows = Iterable[Iterable[object]]


@dataclass(frozen=True)
class StructureInfo:
    """What a structure file says beside its atoms.

    Attributes:
        name: entry name.
        title: one line about how the structure was made.
        entity_kinds: "protein", "dna", "rna" or "ligand" by entity label.
        component_types: `_chem_comp.type` by residue name, for residues that are not standard.
        descriptions: entity description by label, for ligands given as SMILES or file.
        version: version of this program.
    """

    name: str
    title: str
    entity_kinds: Mapping[str, str]
    component_types: Mapping[str, str] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    version: str = ""


def mmcif_text(
    atoms: AtomTable,
    coordinates: Float[Array, "a 3"],
    plddt: Float[Array, "a"],
    info: StructureInfo,
) -> str:
    """The file's text; the same bytes for the same arguments.

    Args:
        coordinates: angstrom, finite.
        plddt: 0-100, written as B factor.
    """
    document = gemmi.cif.Document()
    block = document.add_new_block(re.sub(r"[^\w.+-]", "_", info.name) or "structure")
    starts = atoms.residue_starts()
    residues = atoms[starts]
    _add_head(block, info)
    _add_entities(block, residues, info)
    _add_components(block, atoms, residues, info)
    _add_connections(block, atoms, coordinates, info)
    _add_atoms(block, atoms, coordinates, plddt, info)
    return document.as_string(gemmi.cif.Style.Aligned)


def write_mmcif(
    path: Path,
    atoms: AtomTable,
    coordinates: Float[Array, "a 3"],
    plddt: Float[Array, "a"],
    info: StructureInfo,
) -> None:
    """Write `mmcif_text` to `path`. Raises OutputError when it cannot."""
    write_text(path, mmcif_text(atoms, coordinates, plddt, info))


def _quoted(value: object) -> str:
    """A CIF value; None is "?", and "." and "?" stay what they mean."""
    if value is None:
        return "?"
    text = str(value)
    return text if text in (".", "?") else gemmi.cif.quote(text)


def _add_loop(block: gemmi.cif.Block, prefix: str, tags: str, rows: Rows) -> None:
    """A loop of `rows`; nothing for no rows."""
    columns = list(zip(*rows))
    if columns:
        loop = block.init_loop(f"_{prefix}.", tags.split())
        loop.set_all_values([[_quoted(value) for value in column] for column in columns])


def _add_head(block: gemmi.cif.Block, info: StructureInfo) -> None:
    block.set_pairs("_entry.", {"id": info.name})
    block.set_pairs("_struct.", {"entry_id": info.name, "title": info.title})
    block.set_pairs("_exptl.", {"entry_id": info.name, "method": "THEORETICAL MODEL"})
    software = {"pdbx_ordinal": "1", "name": "Protenix-MS", "version": info.version,
                "classification": "prediction"}
    block.set_pairs("_software.", software)


def _is_polymer(info: StructureInfo, entity: str) -> bool:
    return info.entity_kinds[entity] in POLYMER_TYPES


def _one_letter(residues: AtomTable, canonical: bool) -> str:
    """Sequence in one-letter codes; others as (CODE), or as their parent or X."""
    letters = []
    for name in residues.res_name:
        known = gemmi.find_tabulated_residue(str(name))
        if known.is_standard():
            letters.append(known.one_letter_code)
        else:
            letters.append(known.fasta_code() if canonical else f"({name})")
    return "".join(letters)


def _add_entities(block: gemmi.cif.Block, residues: AtomTable, info: StructureInfo) -> None:
    entities, polymers, sequences, others, chains = [], [], [], [], []
    for entity in dict.fromkeys(residues.entity_id.tolist()):
        rows = residues[residues.entity_id == entity]
        ids = list(dict.fromkeys(rows.chain_id.tolist()))
        first = rows[rows.chain_id == ids[0]]
        kind = info.entity_kinds[entity]
        description = info.descriptions.get(entity, ".")
        polymer = _is_polymer(info, entity)
        entities.append((entity, "polymer" if polymer else "non-polymer", description))
        chains += [(chain, entity) for chain in ids]
        if not polymer:
            others += [(entity, name, name) for name in dict.fromkeys(first.res_name.tolist())]
            continue
        modified = "yes" if first.hetero.any() else "no"
        polymers.append((entity, POLYMER_TYPES[kind], modified, ",".join(ids),
                         _one_letter(first, False), _one_letter(first, True)))
        sequences += [(entity, i, name, "n") for i, name in zip(first.res_id, first.res_name)]
    _add_loop(block, "entity", "id type pdbx_description", entities)
    _add_loop(block, "entity_poly", "entity_id type nstd_monomer pdbx_strand_id "
              "pdbx_seq_one_letter_code pdbx_seq_one_letter_code_can", polymers)
    _add_loop(block, "entity_poly_seq", "entity_id num mon_id hetero", sequences)
    _add_loop(block, "pdbx_entity_nonpoly", "entity_id comp_id name", others)
    _add_loop(block, "struct_asym", "id entity_id", chains)


def _add_components(
    block: gemmi.cif.Block, atoms: AtomTable, residues: AtomTable, info: StructureInfo
) -> None:
    kinds = {str(n): info.entity_kinds[e] for n, e in zip(residues.res_name, residues.entity_id)}
    rows = []
    for name in sorted(kinds):
        standard = name in STANDARD_RESIDUES and kinds[name] in STANDARD_TYPES
        default = STANDARD_TYPES[kinds[name]] if standard else "non-polymer"
        rows.append((name, info.component_types.get(name, default), "y" if standard else "n"))
    _add_loop(block, "chem_comp", "id type mon_nstd_flag", rows)
    special = [name for name in sorted(kinds) if name not in STANDARD_RESIDUES]
    _add_loop(block, "chem_comp_bond", "comp_id atom_id_1 atom_id_2 value_order "
              "pdbx_aromatic_flag pdbx_ordinal", bond_rows(atoms, special))


def _sequence_ids(atoms: AtomTable, info: StructureInfo) -> list[object]:
    """`label_seq_id`: residue numbers of polymers, "." for the rest."""
    polymer = {e: _is_polymer(info, e) for e in info.entity_kinds}
    pairs = zip(atoms.entity_id.tolist(), atoms.res_id.tolist())
    return [number if polymer[entity] else "." for entity, number in pairs]


def _add_connections(
    block: gemmi.cif.Block, atoms: AtomTable, coordinates: Float[Array, "a 3"], info: StructureInfo
) -> None:
    ends = "label_asym_id label_comp_id label_seq_id label_atom_id auth_asym_id auth_comp_id " \
           "auth_seq_id"
    tags = [f"ptnr{side}_{tag}" for side in (1, 2) for tag in ends.split()]
    polymer = np.array([_is_polymer(info, e) for e in atoms.entity_id])
    seq = _sequence_ids(atoms, info)
    rows = []
    for kind, number, first, second, order in connection_rows(atoms, polymer):
        names = []
        for i in (first, second):
            chain, residue = atoms.chain_id[i], atoms.res_name[i]
            names += [chain, residue, seq[i], atoms.atom_name[i], chain, residue, atoms.res_id[i]]
        length = np.linalg.norm(coordinates[first] - coordinates[second])
        rows.append((f"{kind}{number}", kind, *names, order, f"{length:.3f}"))
    _add_loop(block, "struct_conn", f"id conn_type_id {' '.join(tags)} pdbx_value_order "
              "pdbx_dist_value", rows)
    kinds = sorted({row[1] for row in rows})
    _add_loop(block, "struct_conn_type", "id", [(kind,) for kind in kinds])


def _add_atoms(
    block: gemmi.cif.Block,
    atoms: AtomTable,
    coordinates: Float[Array, "a 3"],
    plddt: Float[Array, "a"],
    info: StructureInfo,
) -> None:
    x, y, z = ([f"{value:.4f}" for value in column] for column in coordinates.T.tolist())
    columns = {
        "group_PDB": np.where(atoms.hetero, "HETATM", "ATOM"),
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
    _add_loop(block, "atom_site", " ".join(columns), zip(*columns.values()))
