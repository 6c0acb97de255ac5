# SPDX-License-Identifier: Apache-2.0
"""The chemical component dictionary: one table in the package, sliced on demand."""

from __future__ import annotations

import difflib
import functools
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from protenix_ms.errors import ChemistryError
from protenix_ms.files import file_sha256
from protenix_ms.typing import Array, Bool, Float, Int, Shaped

SHIPPED = Path(__file__).with_name("ccd.npz")
KEKULE = Path(__file__).with_name("ccd_kekule.npz")  # made by scripts/pack_kekule.py
FORMAT = 1
_COLUMNS = (
    "about atom_name atom_start atom_stereo bond bond_aromatic bond_order bond_start bond_stereo "
    "charge code conformer_source date element format hydrogens leaving mask obsolete one_letter "
    "parent position position_unit ref_charge symbol type type_name"
)
COLUMNS = frozenset(_COLUMNS.split())
IMPORTED = 5  # conformer_source of `with_conformers`

MolType = Literal["protein", "dna", "rna", "ligand"]


@dataclass(frozen=True)
class Component:
    """Hold a chemical component: its heavy atoms in dictionary order, and a reference conformer.

    Attributes:
        code, type: CCD code and `_chem_comp.type`, e.g. "L-PEPTIDE LINKING" (case as written).
        one_letter: `one_letter_code` ("" when unknown; may have several letters).
        parent: `mon_nstd_parent_comp_id` ("" when none; may be a comma-separated list).
        release_date: `pdbx_initial_date`, "YYYY-MM-DD".
        atom_name, element: names; elements in upper case, e.g. "CL".
        charge: formal charges as written in the dictionary.
        ref_charge: formal charges after RDKit's clean-up, upstream's `ref_charge`.
        hydrogens: number of hydrogens on each atom.
        leaving: `pdbx_leaving_atom_flag`.
        atom_stereo, bond_stereo: "N", "R", "S" and "N", "E", "Z".
        bonds: index pairs; bond_order: 1, 2, 3 (Kekule form); bond_aromatic: flag.
        ref_pos: reference conformer in angstrom, zero where unknown.
        ref_mask: 1 where `ref_pos` is known.
        conformer_source: a `conformer.ConformerSource` value.
        kekule: aromatic bonds that RDKit 2025 calls double; None where that is not known.
    """

    code: str
    type: str
    one_letter: str
    parent: str
    release_date: str
    atom_name: Shaped[Array, "a"]
    element: Shaped[Array, "a"]
    charge: Int[Array, "a"]
    ref_charge: Int[Array, "a"]
    hydrogens: Int[Array, "a"]
    leaving: Bool[Array, "a"]
    atom_stereo: Shaped[Array, "a"]
    bonds: Int[Array, "p 2"]
    bond_order: Int[Array, "p"]
    bond_aromatic: Bool[Array, "p"]
    bond_stereo: Shaped[Array, "p"]
    ref_pos: Float[Array, "a 3"]
    ref_mask: Int[Array, "a"]
    conformer_source: int
    kekule: Bool[Array, "p"] | None = None

    def __len__(self) -> int:
        return len(self.atom_name)

    @property
    def mol_type(self) -> MolType:
        """Tell the kind of polymer from `type`, as upstream's `get_mol_type`."""
        kind = self.type.upper()
        if "PEPTIDE" in kind and kind != "PEPTIDE-LIKE":
            return "protein"
        if "DNA" in kind:
            return "dna"
        return "rna" if "RNA" in kind else "ligand"


class ComponentDictionary:
    """Hold all components; `"ATP" in ccd`, `ccd["ATP"]`, `len(ccd)`. `load` makes it."""

    def __init__(self, path: Path, columns: dict[str, Array]) -> None:
        missing = sorted(COLUMNS - set(columns))
        if missing or int(columns["format"]) != FORMAT:
            raise ChemistryError(
                f"not a component table of format {FORMAT}"
                + (f" (no {', '.join(missing)})" if missing else ""),
                where=str(path),
                fix="build it with scripts/build_ccd.py or drop --ccd to use the shipped one",
            )
        self.path = path
        self._columns = columns
        self._row = {code.decode(): i for i, code in enumerate(columns["code"].tolist())}
        self._components: dict[str, Component] = {}
        self._override: dict[str, Array] | None = None
        self._own_digest = ""
        self.conformers_path: Path | None = None

    @classmethod
    def load(cls, path: Path | None = None) -> ComponentDictionary:
        """Read the shipped table, or the one at `path`, once per process.

        Raises:
            ChemistryError: the file is absent, damaged or of another format.
        """
        return _load(Path(path or SHIPPED).resolve())

    @functools.cached_property
    def sha256(self) -> str:
        """Return the digest of the table's file and of components added to it, for `run.json`."""
        return "+".join(filter(None, (file_sha256(self.path), self._own_digest)))

    @functools.cached_property
    def conformers_sha256(self) -> str | None:
        """Return the digest of the conformer override, None without one."""
        if self.conformers_path is None:
            return None
        return file_sha256(self.conformers_path)

    def __len__(self) -> int:
        return len(self._row)

    def __contains__(self, code: object) -> bool:
        return code in self._row or code in self._components

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._row, *self._components)))

    def __getitem__(self, code: str) -> Component:
        """Return a component.

        Raises:
            ChemistryError: no such component, with the nearest code.
        """
        if code not in self._components:
            if code not in self._row:
                raise self._unknown(code)
            component = self._slice(code)
            if self._override is not None and f"{code}/name" in self._override:
                component = self._with_override(component, self._override)
            self._components[code] = component
        return self._components[code]

    def mol_type(self, code: str) -> MolType:
        """Tell the kind of polymer of a residue name; "ligand" outside the dictionary."""
        return self[code].mol_type if code in self else "ligand"

    def with_conformers(self, path: Path) -> ComponentDictionary:
        """Return the same dictionary with reference conformers from an npz file.

        The file holds ``{CODE}/{name,position,mask,charge}`` per component, matched by atom name
        (hydrogens are ignored); components that it lacks keep their own conformer.

        Raises:
            ChemistryError: the file is absent or damaged; at first use of a component, atoms of
                it that the file lacks.
        """
        other = ComponentDictionary(self.path, self._columns)
        other._override = _read(Path(path), "conformer file")
        other.conformers_path = Path(path)
        return other

    def with_components(
        self, components: Mapping[str, Component], digest: str
    ) -> ComponentDictionary:
        """Return the same dictionary with further components, which win over its own.

        Args:
            digest: names them in `sha256`.
        """
        other = ComponentDictionary(self.path, self._columns)
        other._override, other.conformers_path = self._override, self.conformers_path
        other._components = {**self._components, **components}
        other._own_digest = "+".join(filter(None, (self._own_digest, digest)))
        return other

    def _unknown(self, code: str) -> ChemistryError:
        upper = str(code).upper()
        near = [upper] if upper in self else difflib.get_close_matches(upper, list(self), 9, 0.7)
        near.sort(key=lambda known: -len(os.path.commonprefix([known, upper])))
        hint = f"did you mean '{near[0]}'? Otherwise " if near else ""
        return ChemistryError(
            f"unknown component '{code}' ({len(self)} components in {self.path.name})",
            fix=f"{hint}give the molecule as SMILES or as a file, or the component "
                "with --ccd-extra",
        )

    def _slice(self, code: str) -> Component:
        table, row = self._columns, self._row[code]
        a = slice(*table["atom_start"][row : row + 2].tolist())
        b = slice(*table["bond_start"][row : row + 2].tolist())
        date = int(table["date"][row])
        return Component(
            code=code,
            type=table["type_name"][table["type"][row]].decode(),
            one_letter=table["one_letter"][row].decode(),
            parent=table["parent"][row].decode(),
            release_date=f"{date // 10000:04d}-{date // 100 % 100:02d}-{date % 100:02d}",
            atom_name=table["atom_name"][a].astype(str),
            element=table["symbol"][table["element"][a]].astype(str),
            charge=table["charge"][a].astype(np.int64),
            ref_charge=table["ref_charge"][a].astype(np.int64),
            hydrogens=table["hydrogens"][a].astype(np.int64),
            leaving=table["leaving"][a],
            atom_stereo=np.array(["N", "R", "S"])[table["atom_stereo"][a]],
            bonds=table["bond"][b].astype(np.int64),
            bond_order=table["bond_order"][b].astype(np.int64),
            bond_aromatic=table["bond_aromatic"][b],
            bond_stereo=np.array(["N", "E", "Z"])[table["bond_stereo"][b]],
            ref_pos=table["position"][a] * table["position_unit"][row],
            ref_mask=table["mask"][a].astype(np.int64),
            conformer_source=int(table["conformer_source"][row]),
            kekule=table["kekule"][b] if "kekule" in table else None,
        )

    def _with_override(self, component: Component, arrays: dict[str, Array]) -> Component:
        """Replace the conformer of a component by that of `with_conformers`."""
        names, position, given_mask, charge = (
            arrays[f"{component.code}/{key}"] for key in ("name", "position", "mask", "charge"))
        place = {str(name): i for i, name in enumerate(names)}
        missing = [name for name in component.atom_name if name not in place]
        if missing:
            raise ChemistryError(
                f"component {component.code} lacks atoms {', '.join(missing)}",
                where=str(self.conformers_path),
                fix="make the file from the same version of the dictionary or leave it out")
        rows = np.array([place[name] for name in component.atom_name], np.int64)
        mask = given_mask[rows].astype(np.int64)
        return replace(
            component,
            ref_pos=np.where(mask[:, None] > 0, position[rows], 0).astype(np.float32),
            ref_mask=mask,
            ref_charge=charge[rows].astype(np.int64),
            conformer_source=IMPORTED,
        )


def _read(path: Path, what: str) -> dict[str, Array]:
    """Read every array of an npz file; nothing in it is executed."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except FileNotFoundError:
        raise ChemistryError(f"there is no {what}", where=str(path), fix="check the path") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ChemistryError(
            f"this {what} is damaged or not an npz file ({error})",
            where=str(path),
            fix="install protenix-ms again" if path == SHIPPED else "give an npz file",
        ) from error


@functools.cache
def _load(path: Path) -> ComponentDictionary:
    columns = _read(path, "component table")
    if path == SHIPPED and KEKULE.exists():
        rings = _read(KEKULE, "table of aromatic bonds")
        if int(rings["bonds"]) == len(columns["bond"]):
            columns["kekule"] = np.unpackbits(rings["double"], count=len(columns["bond"])) > 0
    return ComponentDictionary(path, columns)
