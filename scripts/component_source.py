# SPDX-License-Identifier: Apache-2.0
"""Read the chemical component dictionary of the biotite wheel, and embed its components."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import biotite.structure.info
import biotite.structure.io.pdbx as pdbx
import numpy as np

from protenix_ms.chem.conformer import ConformerSource, embed
from protenix_ms.chem.molecule import assign_stereo, build_graph, cleaned_charges, sanitized

SEED = 42
EMBED_SECONDS = 20.0
BOND_ORDER = {"SING": 1, "DOUB": 2, "TRIP": 3, "QUAD": 4, "AROM": 1}


@dataclass(frozen=True)
class RawComponent:
    """Hold one component with hydrogens; angstrom, NaN where the dictionary has no coordinates."""

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
    """Hold all components as columns; `source[i]` is the i-th, `source.codes[i]` its code."""

    codes: np.ndarray
    component: dict[str, np.ndarray]
    atom: dict[str, np.ndarray]
    bond: dict[str, np.ndarray]
    atom_span: np.ndarray  # [n, 2]
    bond_span: np.ndarray  # [n, 2]

    @classmethod
    def open(cls) -> ComponentSource:
        """Read the dictionary."""
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
    """Find the first and past-the-last row of every code; its rows are contiguous."""
    starts = np.concatenate([[0], np.flatnonzero(owner[1:] != owner[:-1]) + 1, [len(owner)]])
    span = {str(owner[i]): (i, j) for i, j in zip(starts[:-1], starts[1:])}
    if len(span) != len(starts) - 1:
        raise SystemExit("components.bcif: the rows of a component are not contiguous")
    return np.array([span.get(str(code), (0, 0)) for code in codes])


@dataclass
class ReferenceAtoms:
    """Hold reference data of one component, for all atoms in dictionary order."""

    position: np.ndarray
    mask: np.ndarray
    charge: np.ndarray
    source: int
    sanitized: bool


def from_dictionary(raw: RawComponent) -> tuple[np.ndarray, np.ndarray, int]:
    """Choose ideal coordinates if every heavy atom has them, else model, else the fuller set."""
    heavy = ~np.isin(raw.element, ["H", "D"])
    ideal, model = (np.isfinite(x).all(axis=1) for x in (raw.ideal, raw.model))
    if (ideal[heavy].sum(), 1) > (model[heavy].sum(), 0):
        known, position, source = ideal, raw.ideal, ConformerSource.IDEAL
    else:
        known, position, source = model, raw.model, ConformerSource.MODEL
    if not known[heavy].any():
        source = ConformerSource.NONE
    return np.where(known[:, None], position, 0).astype(np.float32), known, int(source)


def stereo_reference(raw: RawComponent) -> np.ndarray:
    """Choose coordinates that define chirality: model unless two atoms sit at the origin."""
    for position in (raw.model, raw.ideal):
        position = np.nan_to_num(position)
        if (np.abs(position).max(axis=1) == 0).sum() <= 1:
            return position
    return np.nan_to_num(raw.ideal)


def embed_component(raw: RawComponent) -> ReferenceAtoms:
    """Embed one component, with the whole chain of fallbacks."""
    mol = build_graph(raw.element, raw.charge, raw.bonds, raw.name)
    clean = sanitized(mol)
    if clean is None:
        return read_dictionary(raw)
    assign_stereo(clean, stereo_reference(raw))
    charge = np.array([atom.GetFormalCharge() for atom in clean.GetAtoms()])
    embedded = embed(clean, SEED, EMBED_SECONDS)
    if embedded is not None:
        position, source = embedded[0], int(embedded[1])
        return ReferenceAtoms(position, np.ones(len(raw.name), bool), charge, source, True)
    position, mask, source = from_dictionary(raw)
    return ReferenceAtoms(position, mask, charge, source, True)


def read_dictionary(raw: RawComponent) -> ReferenceAtoms:
    """Take the dictionary's coordinates: RDKit refuses the molecule, or its worker died."""
    position, mask, source = from_dictionary(raw)
    mol = build_graph(raw.element, raw.charge, raw.bonds, raw.name)
    return ReferenceAtoms(position, mask, cleaned_charges(mol), source, False)
