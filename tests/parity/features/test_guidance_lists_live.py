# SPDX-License-Identifier: Apache-2.0
"""The geometry lists of components equal those of upstream, made from its own molecules."""

import importlib
import os
from collections import Counter
from pathlib import Path

import pytest

from protenix_ms.features import guidance as ours

LISTS = {
    "distances": ("pairwise_distance", ("upper_bound", "lower_bound", "is_bond", "is_angle")),
    "torsions": ("experimental_torsion", ("force_constant", "sign")),
    "triple_bonds": ("linear_triple_bond", ()), "chirality": ("chiral", ("orientation",)),
    "stereo_bonds": ("stereo_bond", ("orientation",)),
    "planes": ("planar_improper", ("is_carbonyl",)),
}
# Lists that differ, and why. Upstream reads the dictionary's ideal coordinates, not the conformer
# that the model is given; our table holds the latter only.
DIFFERENT = {
    "BCR": set(LISTS),  # two ideal atoms coincide, so upstream has no rules at all
    "CDL": {"chirality"},  # a centre whose arms are alike
    "TDP": {"chirality"},  # a phosphorus, of the other hand in the model's conformer
    "1MA": {"distances"},  # one bound, by the order of hydrogens from RDKit 2026 on
}
_SOME = (
    "ADE ATP DTR FAD FMN IRE LIG NAD PHO PLP PTR STI STU SAM TRP TYR XN3 ZRY 9N0 DB8 SEP HEM NAG "
    "ZN AZI ACO CLR RET GTP PSU 5MC MSE HYP SCN STE FUC B12 PO4 ACE EDO")
CODES = (*DIFFERENT, *_SOME.split())


@pytest.fixture(scope="module")
def upstream():
    """Upstream's module of geometry lists and its molecules."""
    root = Path(os.environ["PROTENIX_ROOT_DIR"])
    components = importlib.import_module("protenix.data.core.ccd")
    components.RKDIT_MOL_PKL = root / "common/components.cif.rdkit_mol.pkl"
    return importlib.import_module("protenix.data.core.geometry_featurizer")


def theirs(upstream, code: str) -> dict[str, Counter]:
    """Rows between heavy atoms, by name."""
    mol = upstream.get_component_rdkit_mol(code)
    numbers = {atom.GetIdx(): atom.GetAtomicNum() for atom in mol.GetAtoms()}
    name = {i: name for name, i in mol.atom_map.items() if numbers[i] != 1}
    metal = upstream.METAL_ATOMIC_NUMBERS.intersection(numbers.values())
    features = {} if metal else upstream.get_ccd_geometry_features(code)
    return {part: Counter(
        (*(name[i] for i in atoms), *(str(features[f"{key}_{v}"][row]) for v in values))
        for row, atoms in enumerate(features.get(f"{key}_index", ())) if name.keys() >= set(atoms))
        for part, (key, values) in LISTS.items()}


def mine(component) -> dict[str, Counter]:
    mol, names = ours._hydrogenated(ours.component_molecule(component))
    rules = ours._rules(mol, names, dict(zip(component.atom_name.tolist(), component.ref_pos)))
    return {part: Counter((*(names[i] for i in row[0]), *map(str, row[1:]))
                          for row in getattr(rules, part)) for part in LISTS}


@pytest.mark.parametrize("code", CODES)
def test_lists_of_a_component(upstream, ccd, code):
    expected, lists = theirs(upstream, code), mine(ccd[code])
    different = {part for part in LISTS if expected[part] != lists[part]}
    assert different <= DIFFERENT.get(code, set())
    if code == "BCR":
        assert not any(expected.values())
