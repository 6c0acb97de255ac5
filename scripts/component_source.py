# SPDX-License-Identifier: Apache-2.0
"""The whole chemical component dictionary as columns, read from the file in the biotite wheel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import biotite.structure.info
import biotite.structure.io.pdbx as pdbx
import numpy as np

BOND_ORDER = {"SING": 1, "DOUB": 2, "TRIP": 3, "QUAD": 4, "AROM": 1}


@dataclass(frozen=True)
class RawComponent:
    """One component with hydrogens; coordinates in angstrom, NaN where the dictionary has none."""

    name: np.ndarray
    element: np.ndarray
    charge: np.ndarray
    leaving: np.ndarray
    ideal: np.ndarray
    model: np.ndarray
    bonds: np.ndarray  # [p, 3]: atom, atom, order
    bond_aromatic: np.ndarray
    bond_stereo: np.ndarray  # "N", "E" or "Z"
    atom_stereo: np.ndarray  # "N", "R" or "S"


@dataclass(frozen=True)
class ComponentSource:
    """All components; `source[i]` is the i-th, `source.codes[i]` its code."""

    codes: np.ndarray
    component: dict[str, np.ndarray]
    atom: dict[str, np.ndarray]
    bond: dict[str, np.ndarray]
    atom_span: np.ndarray  # [n, 2]
    bond_span: np.ndarray  # [n, 2]

    @classmethod
    def open(cls) -> ComponentSource:
        folder = Path(biotite.structure.info.__file__).parent
        block = pdbx.BinaryCIFFile.read(folder / "components.bcif").block
        names = ["id", "type", "one_letter_code", "mon_nstd_parent_comp_id", "pdbx_initial_date",
                 "pdbx_release_status", "name"]
        component = {k: block["chem_comp"][k].as_array(str) for k in names}
        atoms, bonds = block["chem_comp_atom"], block["chem_comp_bond"]
        atom = {k: atoms[k].as_array(str) for k in
                ["atom_id", "type_symbol", "pdbx_leaving_atom_flag", "pdbx_stereo_config"]}
        atom["charge"] = atoms["charge"].as_array(int, 0).astype(np.int8)
        for key, label in [("ideal", "pdbx_model_Cartn_{}_ideal"), ("model", "model_Cartn_{}")]:
            axes = [atoms[label.format(x)].as_array(np.float32, masked_value=np.nan) for x in "xyz"]
            atom[key] = np.stack(axes, axis=1)
        bond = {k: bonds[k].as_array(str) for k in
                ["atom_id_1", "atom_id_2", "value_order", "pdbx_aromatic_flag",
                 "pdbx_stereo_config"]}
        return cls(component["id"], component, atom, bond,
                   _spans(component["id"], atoms["comp_id"].as_array(str)),
                   _spans(component["id"], bonds["comp_id"].as_array(str)))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, number: int) -> RawComponent:
        a, b = slice(*self.atom_span[number]), slice(*self.bond_span[number])
        name = self.atom["atom_id"][a]
        row = {str(n): i for i, n in enumerate(name)}
        ends = (self.bond[k][b].tolist() for k in ("atom_id_1", "atom_id_2", "value_order"))
        bonds = [(row[i], row[j], BOND_ORDER[order.upper()]) for i, j, order in zip(*ends)]
        return RawComponent(
            name, np.char.upper(self.atom["type_symbol"][a]), self.atom["charge"][a],
            self.atom["pdbx_leaving_atom_flag"][a] == "Y", self.atom["ideal"][a],
            self.atom["model"][a], np.array(bonds, np.int32).reshape(-1, 3),
            self.bond["pdbx_aromatic_flag"][b] == "Y", self.bond["pdbx_stereo_config"][b],
            self.atom["pdbx_stereo_config"][a],
        )


def _spans(codes: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """First and past-the-last row of every code; rows of a code are contiguous in the file."""
    starts = np.concatenate([[0], np.flatnonzero(owner[1:] != owner[:-1]) + 1, [len(owner)]])
    span = {str(owner[i]): (i, j) for i, j in zip(starts[:-1], starts[1:])}
    if len(span) != len(starts) - 1:
        raise SystemExit("components.bcif: the rows of a component are not contiguous")
    return np.array([span.get(str(code), (0, 0)) for code in codes])
