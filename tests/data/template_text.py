# SPDX-License-Identifier: Apache-2.0
"""Small structures as mmCIF text, for tests of templates."""

from __future__ import annotations

from collections.abc import Sequence

ATOMS = (
    "group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id",
    "label_asym_id", "label_entity_id", "label_seq_id", "pdbx_PDB_ins_code", "Cartn_x", "Cartn_y",
    "Cartn_z", "occupancy", "B_iso_or_equiv", "auth_seq_id", "auth_asym_id", "pdbx_PDB_model_num",
)  # fmt: skip


def atom(
    name: str, residue: str, number: int, x: object, alternative: str = ".",
    occupancy: float = 1.0, chain: str = "A", model: int = 1,
) -> str:  # fmt: skip
    """A row of `_atom_site`; the author's chain is in lower case, its numbers are ten higher."""
    return (f"ATOM 1 {name[0]} {name} {alternative} {residue} {chain} 1 {number} ? {x} 0 0 "
            f"{occupancy} 1 {number + 10} {chain.lower()} {model}")


def mmcif(
    atoms: Sequence[str], residues: Sequence[tuple[object, str]],
    dates: Sequence[str] = ("2020-01-02", "2019-05-06"),
) -> str:  # fmt: skip
    """A structure with one entity in chains A and B; residues are (number, name)."""
    rows = "\n".join(f"1 {number} {name}" for number, name in residues)
    names = "\n".join(f"_atom_site.{name}" for name in ATOMS)
    lines = "\n".join(atoms)
    history = "\n".join(dates)
    return (f"data_x\nloop_\n_entity_poly_seq.entity_id\n_entity_poly_seq.num\n"
            f"_entity_poly_seq.mon_id\n{rows}\nloop_\n_struct_asym.id\n_struct_asym.entity_id\n"
            f"A 1\nB 1\nloop_\n_pdbx_audit_revision_history.revision_date\n{history}\n"
            f"loop_\n{names}\n{lines}\n")


def helix(sequence: str, chains: str = "A") -> str:
    """A chain of standard residues whose backbone is resolved."""
    from protenix_ms.constants.restypes import PROTEIN_LETTERS

    residues = [(number, PROTEIN_LETTERS[letter]) for number, letter in enumerate(sequence, 1)]
    atoms = [atom(name, residue, number, 1.5 * number + 0.3 * i, chain=chain)
             for chain in chains for number, residue in residues
             for i, name in enumerate(("N", "CA", "C", "O"))]
    return mmcif(atoms, residues)
