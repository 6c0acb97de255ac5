# SPDX-License-Identifier: Apache-2.0
"""Permutations of components beside upstream's, for every component of its small cache."""

import numpy as np

from protenix_ms.constants import restypes
from protenix_ms.data.symmetry import MAX_PERMUTATIONS, component_symmetries

# Our reference conformer gives both halves of cardiolipin the same handedness at phosphorus, so
# that they may change places; heavy water's hydrogens are no atoms of ours.
DIFFERENT = {"CDL", "DOD"}


def as_ours(reference, component):
    """Reorder upstream's permutations over heavy atoms as the dictionary orders them."""
    names = {index: name for name, index in reference["atom_map"].items()}
    place = {name: i for i, name in enumerate(component.atom_name.tolist())}
    heavy = [i for i in range(len(names)) if names[i] in place]
    assert [place[names[i]] for i in heavy] == list(range(len(component)))
    perm = reference["perm"].T.astype(int)
    if perm.shape[1] != len(names):  # not understood: heavy atoms alone, one order
        return np.arange(len(component))[None]
    return np.array([[place[names[j]] for j in row[heavy]] for row in perm])


def test_every_component(parser, ccd):
    from protenix.data.core import ccd as upstream

    wrong, compared = [], 0
    for code in upstream.get_all_ccd_code():
        if code not in ccd or not len(ccd[code]) or code in DIFFERENT:
            continue
        reference = upstream.get_ccd_ref_info(code)
        ours = component_symmetries(ccd[code])
        assert (ours[0] == np.arange(len(ccd[code]))).all()
        if not reference or len(ours) == MAX_PERMUTATIONS:
            continue  # over a thousand, upstream keeps a random choice
        compared += 1
        theirs = as_ours(reference, ccd[code])
        if ours.shape != theirs.shape or (ours != theirs).any():
            wrong.append(code)
    assert not wrong
    assert compared > 290


def test_crystallography_constants(parser):
    from protenix.data import constants

    assert frozenset(constants.CRYSTALLIZATION_AIDS) == restypes.CRYSTALLIZATION_AIDS
    assert constants.CRYSTALLIZATION_METHODS == restypes.CRYSTALLIZATION_METHODS
