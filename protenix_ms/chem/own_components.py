# SPDX-License-Identifier: Apache-2.0
"""Components of a user's own: mmCIF text in the form of the chemical component dictionary.

A component has an identifier, atoms and bonds. Hydrogens may be left out; RDKit then adds them.
Its reference conformer is embedded with a fixed seed, from the text's coordinates where RDKit
finds none (the order of AlphaFold 3).
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Collection

import gemmi
import numpy as np
from rdkit import Chem

from protenix_ms.chem.ccd import Component, ComponentDictionary
from protenix_ms.chem.conformer import LARGE, ConformerSource, embed
from protenix_ms.chem.molecule import assign_stereo, build_graph, cleaned_charges, sanitized
from protenix_ms.constants.restypes import STANDARD_RESIDUES
from protenix_ms.errors import ChemistryError
from protenix_ms.job import Job
from protenix_ms.typing import Array, Float

_ORDERS = {"SING": 1, "DOUB": 2, "TRIP": 3, "AROM": 4, "DELO": 4}
_CODE = re.compile(r"[A-Za-z0-9-]{1,10}")
_SEED = 0
MAX_ATOMS = 1000  # hydrogens included
_ATOMS = ("atom_id", "type_symbol", "?charge", "?pdbx_leaving_atom_flag",
          *(f"?pdbx_model_Cartn_{x}_ideal" for x in "xyz"), *(f"?model_Cartn_{x}" for x in "xyz"))


def dictionary_of(job: Job, ccd: ComponentDictionary) -> ComponentDictionary:
    """Return a dictionary that also holds the job's own components; they win over others.

    Raises:
        ChemistryError: see `read_components`.
    """
    return with_text(ccd, job.own_components) if job.own_components else ccd


@functools.lru_cache(maxsize=16)
def with_text(ccd: ComponentDictionary, text: str) -> ComponentDictionary:
    """Add the components of a text to a dictionary. Raises ChemistryError."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return ccd.with_components(read_components(text), digest)


def read_components(text: str) -> dict[str, Component]:
    """Read the components of an mmCIF text by their codes.

    Raises:
        ChemistryError: no mmCIF; a component without atoms, with a standard residue's name, with
            a bond that stands there twice or leads to an atom that it lacks, an unknown element
            or charge, or no possible conformer.
    """
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        raise ChemistryError(f"this is no mmCIF text ({' '.join(str(error).split())[:200]})",
                             fix="write a component as in the chemical component dictionary"
                             ) from None
    components = {}
    for block in document:
        component = _read_component(block)
        if component.code in components:
            raise ChemistryError(f"component {component.code} stands there twice", fix="keep one")
        components[component.code] = component
    if not components:
        raise ChemistryError("the text holds no component", fix="begin with a line data_NAME")
    return components


def _read_component(block: gemmi.cif.Block) -> Component:
    code = gemmi.cif.as_string(block.find_value("_chem_comp.id") or block.name)
    if not _CODE.fullmatch(code):
        raise ChemistryError(f"{code[:40]!a} cannot name a component",
                             fix="use at most 10 letters, digits and hyphens")
    if code in STANDARD_RESIDUES:
        raise ChemistryError(f"{code} is a standard residue", fix="give the component another name")
    table = block.find("_chem_comp_atom.", list(_ATOMS))
    columns = [[gemmi.cif.as_string(row[i]) if row.has(i) else "" for row in table]
               for i in range(len(_ATOMS))]
    names, symbols = columns[0], [symbol.upper() for symbol in columns[1]]
    if not 0 < len(names) <= MAX_ATOMS:
        raise ChemistryError(f"component {code} has {len(names) or 'no'} atoms",
                             fix=f"list 1 to {MAX_ATOMS} atoms in _chem_comp_atom")
    if len(set(names)) < len(names):
        raise ChemistryError(f"two atoms of component {code} have one name",
                             fix="name every atom differently")
    if unknown := [s for s in symbols if s != "D" and gemmi.Element(s).atomic_number == 0]:
        raise ChemistryError(f"component {code} has the unknown element {unknown[0][:9]!a}",
                             fix="write chemical symbols in type_symbol")
    if odd := [text for text in columns[2] if text and not re.fullmatch(r"[+-]?\d", text)]:
        raise ChemistryError(f"component {code} has the charge {odd[0][:9]!a}",
                             fix="write whole numbers from -9 to 9, or ?")
    charges = [int(text or 0) for text in columns[2]]
    bonds, aromatic = _read_bonds(block, code, names)
    ideal, model = (_positions(columns[i : i + 3]) for i in (4, 7))
    return _component(block, code, (np.array(names), np.array(symbols), np.array(charges)),
                      np.array([flag.upper() == "Y" for flag in columns[3]]), bonds, aromatic,
                      model if np.isnan(ideal).any() else ideal)


def _read_bonds(
    block: gemmi.cif.Block, code: str, names: list[str]
) -> tuple[Array, Array]:
    """Read bonds as (first, second, order) of atoms' places, and which are aromatic."""
    place = {name: i for i, name in enumerate(names)}
    bonds, aromatic, seen = [], [], set()
    for row in block.find("_chem_comp_bond.", ["atom_id_1", "atom_id_2", "value_order",
                                               "?pdbx_aromatic_flag"]):
        ends = [gemmi.cif.as_string(row[i]) for i in (0, 1)]
        if missing := [end for end in ends if end not in place]:
            raise ChemistryError(f"component {code} has a bond to {missing[0][:20]!a}, which is "
                                 "no atom of it", fix="name atoms of _chem_comp_atom in bonds")
        order = _ORDERS.get(gemmi.cif.as_string(row[2]).upper()[:4])
        if order is None or ends[0] == ends[1]:
            raise ChemistryError(f"component {code}: the bond {'-'.join(ends)[:40]} has no order "
                                 "or one end", fix="write SING, DOUB, TRIP or AROM and two atoms")
        if frozenset(ends) in seen:
            raise ChemistryError(f"component {code}: the bond {'-'.join(ends)[:40]} stands there "
                                 "twice", fix="keep one")
        seen.add(frozenset(ends))
        bonds.append((place[ends[0]], place[ends[1]], order))
        aromatic.append(order == 4 or (row.has(3) and row[3].upper() == "Y"))
    return np.array(bonds, np.int64).reshape(-1, 3), np.array(aromatic, bool)


def _positions(columns: list[list[str]]) -> Float[Array, "a 3"]:
    """Read coordinates; NaN where one is missing or no number."""
    return np.array([[gemmi.cif.as_number(text or "?") for text in axis] for axis in columns]).T


def _component(
    block: gemmi.cif.Block, code: str, atoms: tuple[Array, Array, Array], leaving: Array,
    bonds: Array, aromatic: Array, position: Float[Array, "a 3"],
) -> Component:  # fmt: skip
    """Make a component of its heavy atoms, with hydrogens, charges and a conformer by RDKit."""
    name, element, charge = atoms
    heavy = np.flatnonzero(~np.isin(element, ("H", "D")))
    if not len(heavy):
        raise ChemistryError(f"component {code} has hydrogens only", fix="list its heavy atoms")
    graph = build_graph(element, charge, bonds, name)
    if len(heavy) == len(name):
        for atom in graph.GetAtoms():  # drawn without hydrogens: as many as its valences ask for
            atom.SetNoImplicit(False)
    clean = sanitized(graph)
    mol, known = clean or graph, np.isfinite(position).all(axis=1)
    mol.UpdatePropertyCache(strict=False)
    if clean is not None and known.all() and len(np.unique(position, axis=0)) > len(name) // 2:
        assign_stereo(mol, position.astype(np.float32))
    full = Chem.AddHs(mol)
    embedded = None
    if clean is not None and len(heavy) <= LARGE:
        embedded = embed(full, _SEED)
    if embedded is None and not known[heavy].all():
        raise ChemistryError(f"RDKit finds no conformer of component {code}",
                             fix="give coordinates of all its atoms (pdbx_model_Cartn_x_ideal)")
    ref_pos, source = embedded or (position, ConformerSource.IDEAL)
    row = {atom: i for i, atom in enumerate(heavy.tolist())}
    inner = np.array([a in row and b in row for a, b in bonds[:, :2].tolist()], bool)
    ends = bonds[inner][:, :2].tolist()
    orders = [mol.GetBondBetweenAtoms(*pair).GetBondTypeAsDouble() for pair in ends]
    kept = [mol.GetAtomWithIdx(i) for i in heavy.tolist()]
    value = functools.partial(_value, block)
    return Component(
        code=code, type=value("type") or "NON-POLYMER", one_letter=value("one_letter_code"),
        parent=value("mon_nstd_parent_comp_id"), release_date="1970-01-01",
        atom_name=name[heavy], element=element[heavy], charge=charge[heavy],
        ref_charge=(np.array([atom.GetFormalCharge() for atom in kept]) if clean is not None
                    else cleaned_charges(graph)[heavy]),
        hydrogens=np.array([atom.GetTotalNumHs(includeNeighbors=True) for atom in kept]),
        leaving=leaving[heavy], atom_stereo=np.full(len(heavy), "N"),
        bonds=np.array([[row[a], row[b]] for a, b in ends], np.int64).reshape(-1, 2),
        bond_order=np.array([max(1, int(order)) for order in orders], np.int64),
        bond_aromatic=aromatic[inner], bond_stereo=np.full(len(ends), "N"),
        ref_pos=ref_pos[heavy].astype(np.float32), ref_mask=np.ones(len(heavy), np.int64),
        conformer_source=int(source),
    )


def _value(block: gemmi.cif.Block, key: str) -> str:
    """Return an item of `_chem_comp`, "" where it is unknown."""
    text = block.find_value(f"_chem_comp.{key}")
    return "" if text is None or gemmi.cif.is_null(text) else gemmi.cif.as_string(text)


def unused_components(job: Job, used: Collection[str]) -> list[str]:
    """List the job's own components whose codes are not among `used`."""
    if not job.own_components:
        return []
    return [code for code in read_components(job.own_components) if code not in used]
