# SPDX-License-Identifier: Apache-2.0
"""Deposits changed in one respect each, so that every filter has something to do."""

from collections.abc import Callable
from pathlib import Path

import gemmi

Rows = dict[str, list]


def edited(source: Path, target: Path, edit: Callable[[gemmi.cif.Block], None]) -> Path:
    """Write a copy of an mmCIF file, changed by `edit`."""
    document = gemmi.cif.read(str(source))
    edit(document.sole_block())
    document.write_file(str(target))
    return target


def _sites(block: gemmi.cif.Block, change: Callable[[dict[str, str]], None]) -> None:
    """Apply `change` to every row of `_atom_site`; a row whose name becomes "" is dropped."""
    table = block.get_mmcif_category("_atom_site.")
    rows = [dict(zip(table, values)) for values in zip(*table.values())]
    for row in rows:
        change(row)
    rows = [row for row in rows if row["label_atom_id"]]
    block.set_mmcif_category("_atom_site.", {key: [row[key] for row in rows] for key in table})


def copies(shifts: list[float]) -> Callable[[gemmi.cif.Block], None]:
    """Make assembly 1 of translated copies along x."""

    def edit(block: gemmi.cif.Block) -> None:
        numbers = [str(i + 1) for i in range(len(shifts))]
        operators: Rows = {"id": numbers, "type": ["x"] * len(shifts)}
        for i in (1, 2, 3):
            for j in (1, 2, 3):
                operators[f"matrix[{i}][{j}]"] = [str(float(i == j))] * len(shifts)
            operators[f"vector[{i}]"] = [str(x if i == 1 else 0.0) for x in shifts]
        block.set_mmcif_category("_pdbx_struct_oper_list.", operators)
        chains = block.get_mmcif_category("_struct_asym.")["id"]
        block.set_mmcif_category("_pdbx_struct_assembly_gen.", {
            "assembly_id": ["1"], "oper_expression": [f"(1-{len(shifts)})"],
            "asym_id_list": [",".join(chains)],
        })

    return edit


def selenomethionine(block: gemmi.cif.Block) -> None:
    """Make every methionine a selenomethionine."""

    def change(row: dict[str, str]) -> None:
        if row["label_comp_id"] == "MET":
            row["label_comp_id"] = row["auth_comp_id"] = "MSE"
            if row["label_atom_id"] == "SD":
                row["label_atom_id"] = row["auth_atom_id"] = row["type_symbol"] = "SE"

    _sites(block, change)
    table = block.get_mmcif_category("_entity_poly_seq.")
    table["mon_id"] = ["MSE" if code == "MET" else code for code in table["mon_id"]]
    block.set_mmcif_category("_entity_poly_seq.", table)


def unknown_chain(block: gemmi.cif.Block) -> None:
    """Make chain B of nothing but unknown residues (backbone only)."""

    def change(row: dict[str, str]) -> None:
        if row["label_asym_id"] == "B":
            row["label_comp_id"] = row["auth_comp_id"] = "UNK"
            if row["label_atom_id"] not in ("N", "CA", "C", "O"):
                row["label_atom_id"] = ""

    _sites(block, change)


def torn_chain(block: gemmi.cif.Block) -> None:
    """Move the second half of chain B 50 angstrom away."""

    def change(row: dict[str, str]) -> None:
        if row["label_asym_id"] == "B" and int(row["label_seq_id"] or 0) > 40:
            row["Cartn_x"] = str(float(row["Cartn_x"]) + 50)

    _sites(block, change)


def swapped_arginines(block: gemmi.cif.Block) -> None:
    """Swap the names NH1 and NH2 in arginines."""
    other = {"NH1": "NH2", "NH2": "NH1"}

    def change(row: dict[str, str]) -> None:
        if row["label_comp_id"] == "ARG" and row["label_atom_id"] in other:
            row["label_atom_id"] = row["auth_atom_id"] = other[row["label_atom_id"]]

    _sites(block, change)


def gaps(block: gemmi.cif.Block) -> None:
    """Leave residues 1-3, 20-25 and some side chains of A unresolved, and the last ten of B."""

    def change(row: dict[str, str]) -> None:
        number = int(row["label_seq_id"] or 0)
        hidden_in = {
            "A": number in (1, 2, 3) or 20 <= number <= 25,
            "B": number > 79,
        }
        bare = number % 7 == 0 and row["label_atom_id"] not in ("N", "C", "O")
        if bare or hidden_in.get(row["label_asym_id"]):
            row["label_atom_id"] = ""

    _sites(block, change)


def foreign_atoms(block: gemmi.cif.Block) -> None:
    """Give atoms unknown names: few in glycines, most in alanines, which count as unseen."""

    def change(row: dict[str, str]) -> None:
        if row["label_comp_id"] == "GLY" and row["label_atom_id"] == "O":
            row["label_atom_id"] = row["auth_atom_id"] = "OX9"
        if row["label_comp_id"] == "ALA" and row["label_atom_id"] in ("N", "C", "O"):
            row["label_atom_id"] = row["auth_atom_id"] = row["label_atom_id"] + "9"

    _sites(block, change)


def bond_in_one_copy(block: gemmi.cif.Block) -> None:
    """Bond the ligand to one of the two chains, in the shape of `_struct_conn`."""
    table = block.get_mmcif_category("_atom_site.")
    rows = [dict(zip(table, values)) for values in zip(*table.values())]
    ligand = next(r for r in rows if r["group_PDB"] == "HETATM" and r["label_comp_id"] != "HOH")
    partner = next(r for r in rows if r["label_asym_id"] == "A" and r["label_atom_id"] == "CB")
    link: Rows = {"id": ["covale9"], "conn_type_id": ["covale"]}
    for place, row in (("1", partner), ("2", ligand)):
        for item in ("label_asym_id", "label_comp_id", "label_seq_id", "label_atom_id",
                     "auth_asym_id", "auth_comp_id", "auth_seq_id"):
            link[f"ptnr{place}_{item}"] = [row[item]]
        link[f"ptnr{place}_symmetry"] = ["1_555"]
        link[f"pdbx_ptnr{place}_PDB_ins_code"] = [None]
        link[f"pdbx_ptnr{place}_label_alt_id"] = [None]
    block.set_mmcif_category("_struct_conn.", link)
    for axis, shift in (("x", 1.4), ("y", 0.0), ("z", 0.0)):
        ligand[f"Cartn_{axis}"] = str(float(partner[f"Cartn_{axis}"]) + shift)
    block.set_mmcif_category("_atom_site.", {key: [row[key] for row in rows] for key in table})


def without_assembly(block: gemmi.cif.Block) -> None:
    """Drop the operators: the asymmetric unit stands for the assembly."""
    block.set_mmcif_category("_pdbx_struct_oper_list.", {})


def solution(block: gemmi.cif.Block) -> None:
    """Make it no crystal: buffer stays."""
    block.set_pair("_exptl.method", "'SOLUTION NMR'")


def heavy_atoms_without_water(block: gemmi.cif.Block) -> None:
    """Drop water and hydrogens, as in a predicted structure."""

    def change(row: dict[str, str]) -> None:
        if row["label_comp_id"] == "HOH" or row["type_symbol"] in ("H", "D"):
            row["label_atom_id"] = ""

    _sites(block, change)


def falling_numbers(block: gemmi.cif.Block) -> None:
    """Count the residues of glycans downwards, as some authors do."""
    glycans = set(block.get_mmcif_category("_pdbx_branch_scheme.")["asym_id"])

    def turned(chain: str, number: str) -> str:
        return str(500 - int(number)) if chain in glycans else number

    def change(row: dict[str, str]) -> None:
        row["auth_seq_id"] = turned(row["label_asym_id"], row["auth_seq_id"])

    _sites(block, change)
    links = block.get_mmcif_category("_struct_conn.")
    for place in ("1", "2"):
        key = f"ptnr{place}_auth_seq_id"
        links[key] = list(map(turned, links[f"ptnr{place}_label_asym_id"], links[key]))
    block.set_mmcif_category("_struct_conn.", links)


EDITS = {
    "seven_copies": ("1mol", copies([30.0 * i for i in range(7)])),
    "many_copies": ("1mol", copies([30.0 * i for i in range(24)])),
    "far_copies": ("1mol", copies([500.0 * i for i in range(11)])),
    "clashing_copies": ("1aki", copies([0.0, 0.4, 60.0])),
    "clashing_unequal": ("1k6p", copies([0.0, 2.1])),
    "selenomethionine": ("1aki", selenomethionine),
    "unknown_chain": ("1ay7", unknown_chain),
    "torn_chain": ("1ay7", torn_chain),
    "swapped_arginines": ("1aki", swapped_arginines),
    "gaps": ("1ay7", gaps),
    "foreign_atoms": ("1aki", foreign_atoms),
    "bond_in_one_copy": ("1k6p", bond_in_one_copy),
    "without_assembly": ("1k6p", without_assembly),
    "solution": ("1aki", solution),
}
