# SPDX-License-Identifier: Apache-2.0
"""Reads the atoms of a predicted structure as the page needs them: tokens, chains, pLDDT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from scipy.spatial.transform import Rotation

from protenix_ms.errors import InputError
from protenix_ms.typing import Array, Float, Int

_NAMES = ("label_asym_id", "label_entity_id", "label_comp_id", "auth_seq_id", "label_atom_id")
_NUMBERS = ("B_iso_or_equiv", "Cartn_x", "Cartn_y", "Cartn_z")


@dataclass(frozen=True)
class Structure:
    """Columns of a structure's atoms, in the order of its file.

    Attributes:
        text: the file.
        chain, entity, component, number, atom: names; `number` is the residue's.
        plddt: 0-100.
        position: angstrom.
        kinds: what every entity is, as "protein" or "ligand".
    """

    text: str
    chain: Array
    entity: Array
    component: Array
    number: Array
    atom: Array
    plddt: Float[Array, "a"]
    position: Float[Array, "a 3"]
    kinds: dict[str, str]

    def residues(self) -> Int[Array, "a"]:
        """Number the residues along the atoms, from 0; they are tokens where no file says more."""
        columns = np.stack([self.chain, self.component, self.number])
        new = np.r_[True, (columns[:, 1:] != columns[:, :-1]).any(axis=0)]
        residue: Int[Array, "a"] = np.cumsum(new) - 1
        return residue

    def view(self) -> list[float]:
        """Compute the quaternion (x, y, z, w) that turns the longest extent across the view."""
        axes = np.linalg.svd(self.position - self.position.mean(axis=0), full_matrices=False)[2]
        axes[2] = np.cross(axes[0], axes[1])
        return [round(float(q), 4) for q in Rotation.from_matrix(axes).as_quat()]


def read_structure(path: Path) -> Structure:
    """Read a predicted mmCIF file.

    Raises:
        InputError: it is damaged, or has no atoms.
    """
    try:
        text = path.read_text(encoding="utf-8")
        block = gemmi.cif.read_string(text).sole_block()
        columns = {name: [gemmi.cif.as_string(cell) for cell in block.find_loop(
            f"_atom_site.{name}")] for name in (*_NAMES, *_NUMBERS)}
        if len(set(map(len, columns.values()))) != 1 or not columns[_NAMES[0]]:
            raise ValueError("columns of atoms are missing")
        names = [np.array(columns[name]) for name in _NAMES]
        values = np.array([columns[name] for name in _NUMBERS], np.float64)
        if not np.isfinite(values).all():
            raise ValueError("a coordinate or pLDDT is no number")
        return Structure(text, *names, values[0], values[1:].T, _kinds(block))
    except (OSError, ValueError, IndexError, RuntimeError) as error:
        raise InputError(f"this is no predicted structure ({error})", where=str(path),
                         fix="run predict again, which makes what is missing") from error


def _kinds(block: gemmi.cif.Block) -> dict[str, str]:
    """Say what every entity is, as people call it."""
    kinds = {row.str(0): {"polymer": "polymer", "branched": "glycan"}.get(row.str(1), "ligand")
             for row in block.find("_entity.", ["id", "type"])}
    words = {"polypeptide": "protein", "polydeoxyribonucleotide": "DNA",
             "polyribonucleotide": "RNA"}
    for row in block.find("_entity_poly.", ["entity_id", "type"]):
        kinds[row.str(0)] = next((word for start, word in words.items()
                                  if row.str(1).startswith(start)), "polymer")
    return kinds
