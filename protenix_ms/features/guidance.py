# SPDX-License-Identifier: Apache-2.0
"""Make the geometry lists of guidance: rules of ligands and modified residues, by atom of the job.

Standard residues of polymers have none: the network knows their geometry. No rule spans two
residues, so a covalent link is held by its length alone, and only between chains.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from itertools import combinations

import numpy as np
from rdkit import Chem

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.geometry_rules import GeometryRules, geometry_rules
from protenix_ms.chem.ligand import atom_names, molecule_from_smiles
from protenix_ms.chem.ligand_file import molecule_from_file
from protenix_ms.chem.molecule import add_conformer, component_molecule
from protenix_ms.chem.own_components import dictionary_of
from protenix_ms.constants.restypes import STANDARD_RESIDUES
from protenix_ms.features.annotation import AnnotatedAtoms
from protenix_ms.job import Job, Polymer
from protenix_ms.typing import Array, Int, Shaped

# List of `GeometryRules` -> feature of its atoms, their number, and the features of its values.
_FEATURES: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "distances": ("pairwise_distance", 2, ("upper_bound", "lower_bound", "is_bond", "is_angle")),
    "torsions": ("experimental_torsion", 4, ("force_constant", "sign")),
    "triple_bonds": ("linear_triple_bond", 3, ()),
    "chirality": ("chiral", 4, ("orientation",)),
    "stereo_bonds": ("stereo_bond", 4, ("orientation",)),
    "planes": ("planar_improper", 4, ("is_carbonyl",)),
}
_WHOLE = {"is_bond", "is_angle", "sign"}  # int64; the others are float32


def guidance_features(
    job: Job, atoms: AnnotatedAtoms, ccd: ComponentDictionary
) -> dict[str, Shaped[Array, "..."]]:
    """Make the features that only guidance reads, under upstream's names.

    Args:
        atoms: of the job; their `ref_pos` decides handedness where a ligand is SMILES or a file.
    """
    rules = list(_rules_by_residue(job, atoms, dictionary_of(job, ccd)))
    features: dict[str, Array] = {}
    for part, (name, width, values) in _FEATURES.items():
        rows = [(where[list(rule[0])], *rule[1:])
                for own, where in rules for rule in getattr(own, part)]
        index: Array = np.array([row[0] for row in rows], np.int64).reshape(-1, width)
        features[f"{name}_index"] = index.T
        for place, value in enumerate(values, 1):
            kind = np.int64 if value in _WHOLE else np.float32
            column: Array = np.array([row[place] for row in rows], kind)
            if value in ("force_constant", "sign"):
                column = column.reshape(-1, 6)
            features[f"{name}_{value}"] = column
    return features | _chain_features(atoms)


def _chain_features(atoms: AnnotatedAtoms) -> dict[str, Int[Array, "2 m"]]:
    """List bonds between chains, and pairs of chains of one entity."""
    ends = atoms.bonds[:, :2]
    crossing = ends[atoms.asym_id[ends[:, 0]] != atoms.asym_id[ends[:, 1]]]
    chains, first = np.unique(atoms.asym_id, return_index=True)
    entity = atoms.entity_index[first]
    same = [(chains[i], chains[j]) for i, j in combinations(range(len(chains)), 2)
            if entity[i] == entity[j]]
    return {"interchain_bond_index": crossing.astype(np.int64).T,
            "symmetric_chain_index": np.array(same, np.int64).reshape(-1, 2).T}


def _rules_by_residue(
    job: Job, atoms: AnnotatedAtoms, ccd: ComponentDictionary
) -> Iterator[tuple[GeometryRules, Int[Array, "k"]]]:
    """Yield the rules of every guided residue and the row of each atom of its molecule."""
    own = _own_molecules(job)
    rules: dict[str, tuple[GeometryRules, dict[str, int]]] = {}
    for rows in atoms.residues():
        name = str(atoms.res_name[rows][0])
        if name in STANDARD_RESIDUES and not atoms.hetero[rows][0]:
            continue
        if name not in rules:
            if name in own:
                mol, names = own[name], atom_names(own[name])
                position = dict(zip(atoms.atom_name[rows].tolist(), atoms.ref_pos[rows]))
            elif name in ccd and len(ccd[name]):
                mol, names = _hydrogenated(component_molecule(ccd[name]))
                position = dict(zip(ccd[name].atom_name.tolist(), ccd[name].ref_pos))
            else:
                continue
            rules[name] = _rules(mol, names, position), {n: i for i, n in enumerate(names)}
        geometry, number = rules[name]
        where: Array = np.full(len(number), -1, np.int64)
        for row, atom in enumerate(atoms.atom_name[rows].tolist(), rows.start):
            if atom in number:
                where[number[atom]] = row
        yield _present(geometry, where), where


def _rules(mol: Chem.Mol, names: list[str], position: dict[str, Array]) -> GeometryRules:
    """Read a molecule's rules from the positions of its named atoms."""
    mol = Chem.Mol(mol)
    mol.RemoveAllConformers()
    zero: Array = np.zeros(3)
    add_conformer(mol, np.array([position.get(name, zero) for name in names]))
    known = [i for i, name in enumerate(names) if name in position]
    return geometry_rules(mol, known) or GeometryRules()


def _present(rules: GeometryRules, where: Int[Array, "k"]) -> GeometryRules:
    """Drop rules of atoms that the residue lacks, as after a covalent bond."""
    if (where >= 0).all():
        return rules
    kept = {f.name: [rule for rule in getattr(rules, f.name) if (where[list(rule[0])] >= 0).all()]
            for f in fields(rules)}
    return GeometryRules(**kept)


def _hydrogenated(mol: Chem.Mol) -> tuple[Chem.Mol, list[str]]:
    """Add hydrogens, which have no names, after the heavy atoms: bounds depend on them."""
    names = [atom.GetProp("name") for atom in mol.GetAtoms()]
    mol.UpdatePropertyCache(strict=False)
    full = Chem.AddHs(mol)
    return full, names + [f"\0{i}" for i in range(len(names), full.GetNumAtoms())]


def _own_molecules(job: Job) -> dict[str, Chem.Mol]:
    """Make the molecules of SMILES and files again, by the residue names of `assemble`."""
    molecules: dict[str, Chem.Mol] = {}
    seen: set[int] = set()
    for number, entity in job.numbered_entities():
        repeated = number in seen
        seen.add(number)
        if not repeated and not isinstance(entity, Polymer) and not entity.codes:
            mol = (molecule_from_smiles(entity.smiles or "") if entity.file is None
                   else molecule_from_file(entity.file))
            molecules[f"l{len(molecules) + 1:02d}"] = mol
    return molecules
