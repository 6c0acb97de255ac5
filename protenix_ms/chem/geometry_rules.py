# SPDX-License-Identifier: Apache-2.0
"""What RDKit knows of a molecule's geometry: distances, torsions, chirality, planes.

These are the rules that guidance holds a ligand or a modified residue to (upstream
`geometry_featurizer`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem.rdDistGeom import GetExperimentalTorsions, GetMoleculeBoundsMatrix
from rdkit.Chem.rdMolTransforms import GetDihedralRad

# Molecules with one of these are left alone: RDKit's bounds do not describe coordination.
METALS = frozenset({3, 4, *range(11, 14), *range(19, 32), *range(37, 52), *range(55, 85),
                    *range(87, 119)})
_TETRAHEDRAL = (Chem.ChiralType.CHI_TETRAHEDRAL_CW, Chem.ChiralType.CHI_TETRAHEDRAL_CCW)
_FLAT_RING = ([0.0, 100.0, 0.0, 0.0, 0.0, 0.0], [1, -1, 1, 1, 1, 1])
Rule = TypeVar("Rule", bound=tuple[Any, ...])
_SP2, _SP = Chem.HybridizationType.SP2, Chem.HybridizationType.SP


@dataclass(frozen=True)
class GeometryRules:
    """Rules of one molecule; atoms are its own, numbered from 0.

    Attributes:
        distances: pair, upper and lower bound in angstrom, 1 for a bond, 1 for two bonds that
            share an atom.
        torsions: four atoms, six force constants and six signs.
        triple_bonds: three atoms in a line.
        chirality: three neighbours and their centre, sign of their dihedral.
        stereo_bonds: four atoms about a double bond, 1.0 trans or 0.0 cis.
        planes: two neighbours, their centre, its third neighbour; 1.0 for a carbonyl.
    """

    distances: list[tuple[tuple[int, ...], float, float, int, int]] = field(default_factory=list)
    torsions: list[tuple[tuple[int, ...], list[float], list[int]]] = field(default_factory=list)
    triple_bonds: list[tuple[tuple[int, ...]]] = field(default_factory=list)
    chirality: list[tuple[tuple[int, ...], float]] = field(default_factory=list)
    stereo_bonds: list[tuple[tuple[int, ...], float]] = field(default_factory=list)
    planes: list[tuple[tuple[int, ...], float]] = field(default_factory=list)


def geometry_rules(mol: Chem.Mol, known: Collection[int]) -> GeometryRules | None:
    """Read the rules of a molecule with its hydrogens and a first conformer.

    Args:
        known: atoms that have a place in the conformer; rules with other atoms are left out.

    Returns:
        None where RDKit does not understand the molecule, which is then not guided.
    """
    mol, atoms = Chem.Mol(mol), frozenset(known)
    if any(atom.GetAtomicNum() in METALS for atom in mol.GetAtoms()):
        return GeometryRules()
    try:
        with rdBase.BlockLogs():
            mol.UpdatePropertyCache(strict=False)
            Chem.AssignStereochemistry(mol, force=True, cleanIt=True)
            Chem.GetSymmSSSR(mol)
            return GeometryRules(
                _known(_distances(mol), atoms), _known(_torsions(mol), atoms),
                _known(_triple_bonds(mol), atoms), _known(_chirality(mol, atoms), atoms),
                _known(_stereo_bonds(mol, atoms), atoms), _known(_planes(mol), atoms))
    except (ValueError, RuntimeError):
        return None


def _known(rules: Iterable[Rule], atoms: frozenset[int]) -> list[Rule]:
    return [rule for rule in rules if atoms.issuperset(rule[0])]


def _distances(mol: Chem.Mol) -> Iterator[tuple[tuple[int, ...], float, float, int, int]]:
    bounds = GetMoleculeBoundsMatrix(mol)
    bonds = {_pair(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()}
    angles = {pair for atom in mol.GetAtoms() for pair in combinations(_neighbours(atom), 2)}
    for pair in combinations(range(mol.GetNumAtoms()), 2):
        yield (pair, float(bounds[pair]), float(bounds[pair[::-1]]), int(pair in bonds),
               int(pair in angles))


def _torsions(mol: Chem.Mol) -> Iterator[tuple[tuple[int, ...], list[float], list[int]]]:
    """Yield RDKit's torsion preferences, and flat ones for rings of sp2 atoms without any."""
    marked = set()
    for torsion in GetExperimentalTorsions(mol, useSmallRingTorsions=True):
        four = tuple(torsion["atomIndices"])
        marked.add(_pair(four[1], four[2]))
        yield four, list(torsion["V"]), list(torsion["signs"])
    for ring in mol.GetRingInfo().AtomRings():
        n = len(ring)
        for start in range(n if 4 <= n <= 6 else 0):
            four = tuple(ring[(start + i) % n] for i in range(4))
            bond = _pair(four[1], four[2])
            flat = all(mol.GetAtomWithIdx(i).GetHybridization() == _SP2 for i in four)
            if bond not in marked and flat:
                marked.add(bond)
                yield four, *_FLAT_RING


def _triple_bonds(mol: Chem.Mol) -> Iterator[tuple[tuple[int, ...]]]:
    for bond in mol.GetBonds():
        ends = bond.GetBeginAtom(), bond.GetEndAtom()
        aromatic = bond.GetIsAromatic() or any(end.GetIsAromatic() for end in ends)
        if bond.GetBondType() != Chem.BondType.TRIPLE or aromatic:
            continue
        if any(end.GetHybridization() != _SP for end in ends):
            continue
        begin, end = (atom.GetIdx() for atom in ends)
        yield from (((i, begin, end),) for i in _neighbours(ends[0]) if i != end)
        yield from (((begin, end, i),) for i in _neighbours(ends[1]) if i != begin)


def _chirality(
    mol: Chem.Mol, known: Collection[int]
) -> Iterator[tuple[tuple[int, ...], float]]:
    conformer = mol.GetConformer(0)
    for atom in mol.GetAtoms():
        around = _neighbours(atom)
        if atom.GetChiralTag() not in _TETRAHEDRAL or not 3 <= len(around) <= 4:
            continue
        for three in combinations(around, 3):
            four = (*three, atom.GetIdx())
            if all(i in known for i in four):
                yield four, 1.0 if GetDihedralRad(conformer, *four) >= 0 else -1.0


def _stereo_bonds(
    mol: Chem.Mol, known: Collection[int]
) -> Iterator[tuple[tuple[int, ...], float]]:
    conformer = mol.GetConformer(0)
    for bond in mol.GetBonds():
        if bond.GetStereo() not in (Chem.BondStereo.STEREOE, Chem.BondStereo.STEREOZ):
            continue
        begin, end = bond.GetBeginAtom(), bond.GetEndAtom()
        first = [i for i in _neighbours(begin) if i != end.GetIdx()]
        last = [i for i in _neighbours(end) if i != begin.GetIdx()]
        count = 2 if len(first) == len(last) == 2 else min(1, len(first), len(last))
        for k in range(count):
            four = (first[k], begin.GetIdx(), end.GetIdx(), last[k])
            if all(i in known for i in four):
                cis = abs(GetDihedralRad(conformer, *four)) < np.pi / 2
                yield four, 0.0 if cis else 1.0


def _planes(mol: Chem.Mol) -> Iterator[tuple[tuple[int, ...], float]]:
    for atom in mol.GetAtoms():
        around = _neighbours(atom)
        sp2 = atom.GetHybridization() == _SP2
        if atom.GetSymbol() not in ("C", "N", "O") or not sp2 or len(around) != 3:
            continue
        carbonyl = float(atom.GetSymbol() == "C" and any(
            n.GetSymbol() == "O" and n.GetHybridization() == _SP2 for n in atom.GetNeighbors()))
        a, b, c = around
        for first, second, third in ((a, b, c), (c, a, b), (b, c, a)):
            yield (first, second, atom.GetIdx(), third), carbonyl


def _neighbours(atom: Chem.Atom) -> list[int]:
    return sorted(neighbour.GetIdx() for neighbour in atom.GetNeighbors())


def _pair(first: int, second: int) -> tuple[int, int]:
    return (first, second) if first < second else (second, first)
