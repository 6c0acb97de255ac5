# SPDX-License-Identifier: Apache-2.0
"""Find which atoms of a residue may change places without changing the molecule.

Upstream: `protenix/data/core/substructure_perms.py`, `add_res_perm`, `get_atom_permutation_list`.
Training lays labels on predictions by the best of these permutations.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import defaultdict

import numpy as np
from rdkit import Chem, rdBase

from protenix_ms.chem.ccd import Component, ComponentDictionary
from protenix_ms.chem.columns import find_names
from protenix_ms.chem.molecule import component_molecule
from protenix_ms.features.annotation import AnnotatedAtoms
from protenix_ms.typing import Array, Bool, Int

MAX_PERMUTATIONS = 1000
_CHARGED = Chem.MolFromSmarts(
    "[+1!h0!$([*]~[-1,-2,-3,-4]),-1!#4!#5!$([*]~[+1,+2,+3,+4])]"
)
_CONJUGATED_ENDS = Chem.MolFromSmarts(
    "[O,N;D1;$([O,N;D1]-[*]=[O,N;D1]),$([O,N;D1]=[*]-[O,N;D1])]~[*]"
)


def component_symmetries(component: Component) -> Int[Array, "p a"]:
    """List the permutations of a component's atoms, sorted, identity first; at most 1000.

    Atoms change places when the molecular graph, its stereochemistry and charges stay the same,
    in the given protonation or the neutral one; ends of conjugated groups (carboxylate,
    phosphate, amidine) count as equal. Molecules that RDKit does not understand have none.
    """
    identity = np.arange(len(component))[None]
    mol = component_molecule(component)
    with rdBase.BlockLogs():
        problem = Chem.SanitizeMol(mol, catchErrors=True)  # aromatic bonds count as equal
        if problem != Chem.SanitizeFlags.SANITIZE_NONE or not len(component):
            return identity
        held = _stereo_imines(mol)
        both = np.concatenate([_symmetries(mol, held), _symmetries(_neutral(mol), held)])
    return np.asarray(np.unique(both, axis=0)[:MAX_PERMUTATIONS])


def _symmetries(mol: Chem.Mol, held: set[int]) -> Int[Array, "p a"]:
    """List permutations of one protonation; atoms in `held` are not ends of conjugated groups."""
    matches = mol.GetSubstructMatches(mol, uniquify=False, maxMatches=MAX_PERMUTATIONS)
    rank = np.array(Chem.CanonicalRankAtoms(mol, breakTies=False))
    maps = np.array(matches, np.int64).reshape(-1, mol.GetNumAtoms())
    maps = maps[(rank[maps] == rank).all(axis=1)]
    ends = _equal_ends(mol, held, len(maps))
    distinct: dict[tuple[int, ...], None] = {}
    for start in maps.tolist():
        for orders in itertools.product(*[itertools.permutations(group) for group in ends]):
            distinct[_rearranged(start, ends, orders)] = None
            if len(distinct) >= MAX_PERMUTATIONS:
                return np.array(list(distinct), np.int64)
    return np.array(list(distinct), np.int64).reshape(-1, mol.GetNumAtoms())


def _rearranged(
    start: list[int], ends: list[list[int]], orders: tuple[tuple[int, ...], ...]
) -> tuple[int, ...]:
    """Put the members of every group of `start` into the given order, place by place."""
    result = list(start)
    for group, order in zip(ends, orders):
        places = [i for i, atom in enumerate(result) if atom in group]
        for place, atom in zip(places, order):
            result[place] = atom
    return tuple(result)


def _equal_ends(mol: Chem.Mol, held: set[int], n_maps: int) -> list[list[int]]:
    """Group the terminal O or N of one element on one conjugated centre.

    Their number is limited so that the permutations stay near `MAX_PERMUTATIONS`.
    """
    around: dict[int, set[int]] = defaultdict(set)
    for first, second in mol.GetSubstructMatches(_CONJUGATED_ENDS):
        if first not in held:
            around[first].add(second)
            around[second].add(first)
    limit = max(1, math.ceil(math.log(MAX_PERMUTATIONS / n_maps, 3)))
    equal = []
    for ends in [ends for ends in around.values() if len(ends) > 1][:limit]:
        by_element: dict[int, list[int]] = defaultdict(list)
        for atom in sorted(ends):
            by_element[mol.GetAtomWithIdx(atom).GetAtomicNum()].append(atom)
        equal += [atoms for atoms in by_element.values() if len(atoms) > 1]
    return equal


def _stereo_imines(mol: Chem.Mol) -> set[int]:
    """Find terminal =N-H whose hydrogen tells E from Z: they are not free ends."""
    rank = list(Chem.CanonicalRankAtoms(mol, breakTies=False))
    held = set()
    for end in mol.GetAtoms():
        facts = end.GetSymbol(), end.GetDegree(), end.GetTotalNumHs(), end.GetFormalCharge()
        if facts == ("N", 1, 1, 0):
            (bond,) = end.GetBonds()
            neighbours = bond.GetOtherAtom(end).GetNeighbors()
            around = {rank[a.GetIdx()] for a in neighbours if a.GetIdx() != end.GetIdx()}
            if bond.GetBondType() == Chem.BondType.DOUBLE and len(around) > 1:
                held.add(end.GetIdx())
    return held


def _neutral(mol: Chem.Mol) -> Chem.Mol:
    """Neutralise a copy by adding or removing hydrogens, except in pairs of opposite charges."""
    mol = Chem.RWMol(mol)
    for (index,) in mol.GetSubstructMatches(_CHARGED):
        atom = mol.GetAtomWithIdx(index)
        hydrogens = atom.GetTotalNumHs() - atom.GetFormalCharge()
        atom.SetFormalCharge(0)
        atom.SetNumExplicitHs(hydrogens)
        atom.UpdatePropertyCache()
    return mol.GetMol()


class Symmetries:
    """Permutations of residues, by component and the atoms that are there; each found once."""

    def __init__(self, ccd: ComponentDictionary) -> None:
        self._ccd = ccd
        self._of_component = functools.cache(lambda code: component_symmetries(ccd[code]))
        self.of_residue = functools.cache(self._of_atoms)

    def _of_atoms(self, code: str, names: tuple[str, ...]) -> Int[Array, "k p"]:
        """List the permutations of the atoms `names`, one a column, without those of lost atoms."""
        if code not in self._ccd or not len(self._ccd[code]):
            return np.arange(len(names))[:, None]
        component = self._ccd[code]
        rows = find_names(np.array(names), component.atom_name)
        index = np.full(len(component), -1, np.int64)
        index[rows] = np.arange(len(names))
        mapped: Int[Array, "p k"] = index[self._of_component(code)[:, rows]]
        inside: Bool[Array, "p"] = (mapped >= 0).all(axis=1)
        return mapped[inside].T


def permutation_lists(atoms: AnnotatedAtoms, symmetries: Symmetries) -> list[Int[Array, "_ _"]]:
    """List by residue the permutations of its atoms (places in the residue), one in each column.

    Atoms bonded to another residue keep their places. The first column is the order at hand.
    """
    uid = atoms.ref_space_uid
    ends = atoms.bonds[:, :2]
    fixed = np.zeros(len(atoms), bool)
    fixed[ends[uid[ends[:, 0]] != uid[ends[:, 1]]]] = True
    lists = []
    for rows in atoms.residues():
        names = tuple(atoms.atom_name[rows].tolist())
        columns = symmetries.of_residue(str(atoms.res_name[rows.start]), names)
        held = columns[fixed[rows]]
        lists.append(columns[:, (held == held[:, :1]).all(axis=0)])
    return lists
