# SPDX-License-Identifier: Apache-2.0
"""Molecular graphs for RDKit: built from plain columns, sanitised, given their stereochemistry."""

from __future__ import annotations

import numpy as np
from rdkit import Chem, rdBase

from protenix_ms.chem.ccd import Component
from protenix_ms.typing import Array, Float, Int, Shaped

BOND_TYPES = {
    1: Chem.BondType.SINGLE,
    2: Chem.BondType.DOUBLE,
    3: Chem.BondType.TRIPLE,
    4: Chem.BondType.AROMATIC,
}
_METALS = (
    "Li Na K Rb Cs Fr Be Mg Ca Sr Ba Ra Sc Ti V Cr Mn Fe Co Ni Cu Zn Al Ga Y Zr Nb Mo Tc Ru Rh Pd "
    "Ag Cd In Sn Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi"
)
METALS = frozenset(_METALS.split())
_REPAIR_ROUNDS = 10


def rdkit_symbol(element: str) -> tuple[str, int]:
    """Spell an upper-case CCD element as RDKit, with its isotope (2 for deuterium, else 0)."""
    if element == "D":
        return "H", 2
    if element == "X":  # the CCD's "some atom"
        return "*", 0
    return element.capitalize(), 0


def build_graph(
    element: Shaped[Array, "a"],
    charge: Int[Array, "a"],
    bonds: Int[Array, "p 3"],
    name: Shaped[Array, "a"],
    hydrogens: Int[Array, "a"] | None = None,
) -> Chem.RWMol:
    """Build a molecule of exactly these atoms and bonds (order 1, 2, 3 or 4), not yet sanitised.

    Args:
        hydrogens: hydrogens of every heavy atom when they are not atoms of the graph. Without
            it, an atom drawn without hydrogens gets none: CCD entries are complete as written.
    """
    mol = Chem.RWMol()
    for symbol, formal_charge, label in zip(element, charge, name):
        symbol, isotope = rdkit_symbol(str(symbol))
        atom = Chem.Atom(symbol)
        atom.SetFormalCharge(int(formal_charge))
        atom.SetIsotope(isotope)
        atom.SetProp("name", str(label))
        mol.AddAtom(atom)
    for first, second, order in bonds:
        if mol.GetBondBetweenAtoms(int(first), int(second)) is None:
            mol.AddBond(int(first), int(second), BOND_TYPES.get(int(order), Chem.BondType.SINGLE))
    for atom in mol.GetAtoms():
        if hydrogens is not None:
            atom.SetNoImplicit(True)
            atom.SetNumExplicitHs(int(hydrogens[atom.GetIdx()]))
        elif atom.GetAtomicNum() != 1:
            drawn = any(n.GetAtomicNum() == 1 for n in atom.GetNeighbors())
            atom.SetNoImplicit(not drawn)
    return mol


def component_molecule(component: Component) -> Chem.Mol:
    """Make an RDKit molecule of a component's heavy atoms, in dictionary order.

    Hydrogens are counts on their atoms; stereochemistry is that of the reference conformer,
    which is attached. Atoms carry the property "name". A component that RDKit's valence model
    does not understand comes back as written, unsanitised, without stereochemistry.
    """
    bonds = np.column_stack([component.bonds, component.bond_order])
    graph = build_graph(
        component.element, component.charge, bonds, component.atom_name, component.hydrogens
    )
    mol = sanitized(graph)
    if mol is None:
        graph.UpdatePropertyCache(strict=False)
        mol = graph
    elif component.kekule is not None:
        _alternate(mol, component.bonds[component.kekule])
    if mol is not graph and len(component) and component.ref_mask.all():
        assign_stereo(mol, component.ref_pos)
    add_conformer(mol, component.ref_pos)
    return mol.GetMol()


def _alternate(mol: Chem.RWMol, double: Int[Array, "p 2"]) -> None:
    """Choose the double bonds of aromatic rings, where RDKit's leave the same atoms without one.

    RDKit 2026 chooses others than the versions that upstream's components were made with.
    """
    aromatic = [bond for bond in mol.GetBonds() if bond.GetIsAromatic()]
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in aromatic]
    present = [pair for pair, bond in zip(ends, aromatic)
               if bond.GetBondType() == Chem.BondType.DOUBLE]
    chosen = {frozenset(pair) for pair in double.tolist()}
    if sorted(i for pair in present for i in pair) == sorted(i for pair in chosen for i in pair):
        for pair, bond in zip(ends, aromatic):
            kind = Chem.BondType.DOUBLE if frozenset(pair) in chosen else Chem.BondType.SINGLE
            bond.SetBondType(kind)


def sanitized(mol: Chem.RWMol) -> Chem.RWMol | None:
    """Sanitise and kekulise a copy; None when the valences cannot be understood.

    Too many bonds at an atom next to a metal are read as dative bonds to the metal, the same
    reading as in pdbeccdutils, from which upstream's conformer cache is made.
    """
    mol = Chem.RWMol(mol)
    with rdBase.BlockLogs():
        for _ in range(_REPAIR_ROUNDS):
            if Chem.SanitizeMol(mol, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE:
                Chem.Kekulize(mol)
                return mol
            if not _make_dative(mol):
                return None
    return None


def cleaned_charges(mol: Chem.RWMol) -> Int[Array, "a"]:
    """Return formal charges after RDKit's clean-up of groups like nitro, whatever the valences."""
    work = Chem.RWMol(mol)
    with rdBase.BlockLogs():
        Chem.SanitizeMol(work, Chem.SanitizeFlags.SANITIZE_CLEANUP)
    return np.array([atom.GetFormalCharge() for atom in work.GetAtoms()], np.int64)


def _make_dative(mol: Chem.RWMol) -> bool:
    """Turn metal bonds of over-valent atoms into dative bonds; False when there was nothing."""
    changed = False
    for problem in Chem.DetectChemistryProblems(mol):
        if problem.GetType() != "AtomValenceException":
            continue
        donor = mol.GetAtomWithIdx(problem.GetAtomIdx())
        for bond in list(donor.GetBonds()):
            metal = bond.GetOtherAtom(donor)
            if metal.GetSymbol() in METALS and bond.GetBondType() != Chem.BondType.DATIVE:
                mol.RemoveBond(donor.GetIdx(), metal.GetIdx())
                mol.AddBond(donor.GetIdx(), metal.GetIdx(), Chem.BondType.DATIVE)
                changed = True
    for atom in mol.GetAtoms():
        atom.UpdatePropertyCache(strict=False)
    return changed


def add_conformer(mol: Chem.Mol, position: Float[Array, "a 3"]) -> int:
    """Attach coordinates (angstrom) to a molecule; returns the conformer's id."""
    conformer = Chem.Conformer(mol.GetNumAtoms())
    conformer.SetPositions(np.ascontiguousarray(position, dtype=np.float64))
    return int(mol.AddConformer(conformer, assignId=True))


def assign_stereo(mol: Chem.Mol, position: Float[Array, "a 3"]) -> None:
    """Set chiral centres and double-bond geometry from coordinates (angstrom), in place."""
    with rdBase.BlockLogs():
        conformer_id = add_conformer(mol, position)
        Chem.AssignStereochemistryFrom3D(mol, conformer_id)
        mol.RemoveConformer(conformer_id)
